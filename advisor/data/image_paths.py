"""Resolve what a user names (files, folders, patterns) to image paths, in a stable order, each once.

Hidden files and files that are not images are skipped in folders and counted; a file named explicitly is always taken,
whatever its suffix. Cycles of symbolic links are cut; folders that cannot be listed are named. Does NOT cover: reading the
files (`images`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advisor.data.archives import unpacking
from advisor.data.images import printable, reason
from advisor.data.layouts.folder_walk import is_image
from advisor.data.layouts.listing import shortened
from advisor.data.layouts.names import is_hidden
from advisor.errors import InputError
from advisor.records import Unreadable


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePaths:
    """Paths of images, the number of hidden or other files that were skipped among them, and folders that are not listed."""

    paths: tuple[str, ...]
    skipped: int
    unlisted: tuple[Unreadable, ...] = ()


def resolve(names: Sequence[str]) -> ImagePaths:
    """Resolve files, folders (with all that is below them) and patterns (`*`, `?`, `[...]`, `**`).

    Raises InputError where a name matches nothing, or no image is among the matches.
    """
    paths: dict[str, None] = {}
    unlisted: dict[str, Unreadable] = {}
    skipped = 0
    for name in names:
        for match in _matches(name):
            if not os.path.isdir(match):
                paths[match] = None
                continue
            for path, is_candidate in _files_below(match, unlisted):
                if is_candidate:
                    paths[path] = None
                else:
                    skipped += 1
    if not paths:
        shown = shortened(names)
        for folder in unlisted.values():
            raise InputError(
                f"{shown}: no images found; {printable(folder.path)} cannot be listed ({folder.reason}).",
                hint="Check the permissions of the folder.",
            )
        raise InputError(f"{shown}: no images found.", hint="Give image files, or folders that contain some.")
    return ImagePaths(paths=tuple(paths), skipped=skipped, unlisted=tuple(unlisted.values()))


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


def _files_below(folder: str, unlisted: dict[str, Unreadable]) -> Iterator[tuple[str, bool]]:
    """Yield every file below a folder and whether it looks like an image; a folder already visited is not entered.

    Folders that cannot be listed are added to `unlisted`, by their paths.
    """
    visited: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        path = f"{error.filename}/"
        unlisted.setdefault(path, Unreadable(path=path, reason=(error.strerror or reason(error)).lower()))

    for parent, folders, files in os.walk(folder, onerror=note, followlinks=True):
        try:
            status = os.stat(parent)
        except OSError as error:  # removed just now, or a folder that may be listed and not entered
            note(error)
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(files):
            path = os.path.join(parent, name)
            if not unpacking.is_mark(path):
                yield path, not is_hidden(name) and is_image(path)
