"""From a cell of a table to a file: separators, absolute paths, names without suffix, folders beside the table.

One rule of safety: a file must lie inside the root, as written or after resolving links on both sides. Does not cover:
which cell holds the path (`columns`).
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.data.layouts import names
from advisor.errors import DatasetError

_SAMPLE = 50  # paths by which the folder that holds the files is chosen


class PathFinder:
    """Resolves the paths of one table below `root`; `base` is the table's own folder."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root = root
        self.base = base
        self.prefix = ""
        self._real_root = os.path.realpath(root)
        self._listed: dict[str, dict[str, list[str]]] = {}

    def relative(self, text: str) -> str | None:
        """Return a path relative to the root with forward slashes; None where it lies outside of the root."""
        path = text.strip()
        if "\\" in path and not os.path.lexists(self.root / path):
            path = path.replace("\\", "/")
        path = path.removeprefix("file://")
        if not os.path.isabs(path):
            plain = posixpath.normpath(path)
            if not plain.startswith("../") and plain != "..":
                return plain
            if self.base != self.root:
                path = os.path.normpath(self.base / path)
        root = str(self.root.absolute())
        absolute = os.path.normpath(self.root.absolute() / path)
        if absolute.startswith(root + "/"):
            return absolute[len(root) + 1 :]
        real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
        return real[len(self._real_root) + 1 :] if real.startswith(self._real_root + "/") else None

    def choose_prefix(self, paths: Iterable[str]) -> None:
        """Find the folder below the root that the paths are relative to, where it is not the root itself."""
        sample = [path for path, _ in zip(paths, range(_SAMPLE), strict=False)]
        if not sample or any(self._exists(path) for path in sample):
            return
        hits: Counter[str] = Counter()
        for folder in self._folders():
            self.prefix = folder
            hits[folder] = sum(self._exists(path) for path in sample)
        best = max(hits, key=lambda folder: (hits[folder], -len(folder)), default="")
        self.prefix = best if hits[best] else ""

    def file(self, path: str) -> str | None:
        """Return the existing file of a relative path, relative to the root; a name without suffix gets its own."""
        full = f"{self.prefix}/{path}" if self.prefix else path
        if os.path.lexists(self.root / full) and not os.path.isdir(self.root / full):
            return full
        if names.suffix_of(path) in IMAGE_SUFFIXES:
            return None
        candidates = [name for name in self._siblings(full) if names.suffix_of(name) in IMAGE_SUFFIXES]
        exact = [name for name in candidates if os.path.splitext(name)[0] == os.path.basename(full)]
        return posixpath.join(posixpath.dirname(full), exact[0]) if len(exact) == 1 else None

    def similar(self, path: str) -> str:
        """Return a file beside the path that differs in suffix or case only; "" where there is none."""
        for prefix in dict.fromkeys([self.prefix, "", *self._folders()]):
            full = f"{prefix}/{path}" if prefix else path
            others = [name for name in self._siblings(full) if name != os.path.basename(full)]
            if others:
                return posixpath.join(posixpath.dirname(full), others[0])
        return ""

    def outside(self, text: str) -> str:
        """Return the reason for refusing a path outside of the root."""
        return f"path {printable(text)} lies outside of {printable(str(self.root))}"

    def _exists(self, path: str) -> bool:
        return self.file(path) is not None

    def _siblings(self, full: str) -> list[str]:
        """List the files of a path's folder with the same stem, ignoring case."""
        folder, name = posixpath.split(full)
        if folder not in self._listed:
            stems: dict[str, list[str]] = {}
            try:
                for entry in sorted(os.listdir(self.root / folder)):
                    stems.setdefault(os.path.splitext(entry)[0].lower(), []).append(entry)
            except OSError:
                pass
            self._listed[folder] = stems
        stems = self._listed[folder]
        plain = stems.get(name.lower(), [])
        return sorted({*plain, *stems.get(os.path.splitext(name)[0].lower(), [])})

    def _folders(self) -> list[str]:
        """List folders up to two levels below the root, in order."""
        folders: list[str] = []
        try:
            for first in sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir()):
                if not names.is_hidden(first):
                    folders.append(first)
                    inner = sorted(entry.name for entry in os.scandir(self.root / first) if entry.is_dir())
                    folders += [f"{first}/{second}" for second in inner[:50] if not names.is_hidden(second)]
        except OSError:
            pass
        return folders


def root_of(table: Path, stated: str | None) -> Path:
    """Return the folder that a table's paths are relative to: its own, or the one stated. Raises DatasetError."""
    if stated is None:
        return table.parent
    root = Path(stated)
    if not root.is_dir():
        raise DatasetError(
            f"--root {printable(stated)}: no such folder.", hint="Give the folder that holds the images."
        )
    return root
