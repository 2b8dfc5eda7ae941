"""Resolve what a user names (files, folders, patterns) to image paths, in a stable order, each once.

Hidden files and files that are not images are skipped in folders and counted; a file named explicitly is always taken,
whatever its suffix. Cycles of symbolic links are cut. Does NOT cover: reading the files (`images`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advisor.data.images import printable
from advisor.data.layouts.folder_walk import is_image
from advisor.data.layouts.listing import shortened
from advisor.data.layouts.names import is_hidden
from advisor.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePaths:
    """Paths of images, and the number of hidden or other files that were skipped among them."""

    paths: tuple[str, ...]
    skipped: int


def resolve(names: Sequence[str]) -> ImagePaths:
    """Resolve files, folders (with all that is below them) and patterns (`*`, `?`, `[...]`, `**`).

    Raises InputError where a name matches nothing, or no image is among the matches.
    """
    paths: dict[str, None] = {}
    skipped = 0
    for name in names:
        for match in _matches(name):
            if not os.path.isdir(match):
                paths[match] = None
                continue
            for path, is_candidate in _files_below(match):
                if is_candidate:
                    paths[path] = None
                else:
                    skipped += 1
    if not paths:
        shown = shortened(names)
        raise InputError(f"{shown}: no images found.", hint="Give image files, or folders that contain some.")
    return ImagePaths(paths=tuple(paths), skipped=skipped)


def _matches(name: str) -> list[str]:
    """Return the name itself where it exists, else the paths that match it as a pattern."""
    if os.path.exists(name):
        return [name]
    if os.path.lexists(name):
        raise InputError(f"{printable(name)} is a broken link.", hint="Check where it points.")
    if any(sign in name for sign in "*?["):
        import glob

        matches = sorted(glob.glob(name, recursive=True))
        if matches:
            return matches
        raise InputError(f"{printable(name)}: nothing matches.", hint="Check the pattern, or put it in quotes.")
    raise InputError(f"no such file or folder: {printable(name)}.", hint="Check the path.")


def _files_below(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield every file below a folder and whether it looks like an image; a folder already visited is not entered."""
    visited: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            path = os.path.join(parent, name)
            yield path, not is_hidden(name) and is_image(path)
