"""From a cell of a table to a file: separators, absolute paths, names without suffix, folders beside the table.

One rule of safety: a file must lie inside the root, as written or after resolving links on both sides. Does NOT cover:
which cell holds the path (`columns`).
"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.data.layouts import names
from advisor.data.layouts.listing import shortened
from advisor.errors import DatasetError

_USUAL = frozenset({"images", "image", "imgs", "img", "jpg", "jpeg", "jpegs", "png", "pictures", "photos", "data"})
_SAMPLE = 50  # paths by which the folder that holds the files is chosen


class PathFinder:
    """Resolves the paths of one table below `root`; `base` is the table's own folder."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root = root
        self.base = base
        self.prefix = ""
        self.parts: tuple[str, ...] = ()
        self._real_root = os.path.realpath(root)
        self._listed: dict[tuple[str, Callable[[str], str]], dict[str, list[str]]] = {}

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

    def choose_prefix(self, paths: Iterable[str], preferred: str = "") -> None:
        """Find the folder below the root that the paths are relative to, where it is not the root itself.

        Numbered folders that hold different files are the `parts` of one set. Otherwise `preferred` comes first, then a
        training set, then usual names of folders of images. Raises DatasetError where several others hold as many of the
        files.
        """
        every = list(paths)
        sample = every[:: -(-len(every) // _SAMPLE) or 1]
        if not sample or any(self._exists(path) for path in sample):
            return
        files = {
            folder: {path for path in sample if self._below(folder, path) is not None} for folder in self._folders()
        }
        hits = Counter({folder: len(paths) for folder, paths in files.items()})
        filled = [folder for folder, count in hits.items() if count]
        are_alike = len({re.sub(r"\d+", "", folder) for folder in filled}) == 1 < len(filled)
        if are_alike and len(set().union(*files.values())) == hits.total():
            self.parts = tuple(filled)
            return
        most = max(hits.values(), default=0)
        best = [name for name in hits if hits[name] == most] if most else [""]
        split = names.split_of(preferred)
        usual = [name for name in best if name == preferred or (split and names.split_of(name) == split)]
        usual = usual or [name for name in best if names.split_of(name) == "train"]
        usual = usual or [name for name in best if name.lower() in _USUAL]
        if len(best) > 1 and len(usual) != 1:
            raise DatasetError(
                f"the files of the table lie in several folders of {printable(str(self.root))} ({shortened(best)}).",
                hint=f"Name one of them: --root {shlex.quote(str(self.root / best[0]))}.",
            )
        self.prefix = usual[0] if usual else best[0]

    def file(self, path: str) -> str | None:
        """Return the existing file of a relative path, relative to the root; a name without suffix gets its own."""
        files = [file for part in self.parts or (self.prefix,) if (file := self._below(part, path)) is not None]
        if len(files) > 1:
            raise DatasetError(
                f"{printable(path)} lies in several folders of {printable(str(self.root))} ({shortened(self.parts)}).",
                hint="Write the folder into the paths of the table.",
            )
        return files[0] if files else None

    def _below(self, folder: str, path: str) -> str | None:
        full = f"{folder}/{path}" if folder else path
        if os.path.lexists(self.root / full):
            return None if os.path.isdir(self.root / full) else full
        spelled = self._spelled(full, _composed) or self._in_bytes(full)
        if spelled:
            return spelled
        if names.suffix_of(path) in IMAGE_SUFFIXES:
            return None
        candidates = [name for name in self._siblings(full) if names.suffix_of(name) in IMAGE_SUFFIXES]
        exact = [name for name in candidates if os.path.splitext(name)[0] == os.path.basename(full)]
        return posixpath.join(posixpath.dirname(full), exact[0]) if len(exact) == 1 else None

    def similar(self, path: str) -> str:
        """Return the file that differs from a path in suffix or case only; "" where there is none."""
        for prefix in dict.fromkeys([self.prefix, "", *self._folders()]):
            full = f"{prefix}/{path}" if prefix else path
            others = [name for name in self._siblings(full) if name != os.path.basename(full)]
            if others:
                return posixpath.join(posixpath.dirname(full), others[0])
            spelled = self._spelled(full, _folded)
            if spelled:
                return spelled
        return ""

    def below(self, text: str) -> str:
        """Return the end of a path, written for another machine, that exists below the root; "" where none does."""
        parts = [part for part in text.strip().replace("\\", "/").split("/") if part not in ("", ".", "..")]
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        return next((end for end in ends if os.path.lexists(self.root / end)), "")

    def outside(self, text: str) -> str:
        """Return the reason for refusing a path outside of the root."""
        return f"path {printable(text)} lies outside of {printable(str(self.root))}"

    def _exists(self, path: str) -> bool:
        return self.file(path) is not None

    def _in_bytes(self, full: str) -> str:
        """Return a path whose name on disk has the bytes of Windows-1252, as a table of that encoding writes it."""
        try:
            raw = os.fsdecode(full.encode("cp1252"))
        except UnicodeEncodeError:
            return ""
        return raw if raw != full and os.path.isfile(self.root / raw) else ""

    def _siblings(self, full: str) -> list[str]:
        """List the files of a path's folder with the same stem, ignoring case."""
        folder, name = posixpath.split(full)
        stems = self._index(folder, _stem)
        return sorted({*stems.get(name.lower(), []), *stems.get(_stem(name), [])})

    def _spelled(self, full: str, spelling: Callable[[str], str]) -> str:
        """Return the file whose folders and name have the same spelling as a path's; "" unless there is exactly one."""
        folder = ""
        for part in full.split("/"):
            same = self._index(folder, spelling).get(spelling(part), [])
            if len(same) != 1:
                return ""
            folder = posixpath.join(folder, same[0])
        return "" if os.path.isdir(self.root / folder) else folder

    def _index(self, folder: str, key: Callable[[str], str]) -> dict[str, list[str]]:
        """Return the names in a folder below the root by a key of theirs; each folder is listed once per key."""
        if (folder, key) not in self._listed:
            index: dict[str, list[str]] = {}
            try:
                for name in sorted(os.listdir(self.root / folder)):
                    index.setdefault(key(name), []).append(name)
            except OSError:
                pass
            self._listed[folder, key] = index
        return self._listed[folder, key]

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


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


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
