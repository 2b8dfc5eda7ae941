"""Which images a person means: files, folders and patterns -> paths, in a stable order, each once.

Hidden files and files that do not claim to be images are left out of folders and counted; a file that is named outright
is taken whatever it is called. Links may point in circles. What it does not cover: reading them (`advisor/images.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advisor.data import folder_layouts
from advisor.data.images import printable
from advisor.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The images that were meant, and how many hidden or foreign files lay among them."""

    paths: tuple[str, ...]
    skipped: int


def images(names: Sequence[str]) -> Selection:
    """Resolve files, folders (with all that is below them) and patterns (`*`, `?`, `[...]`, `**`).

    Raises: InputError where a name stands for nothing, or nothing at all is an image.
    """
    paths: dict[str, None] = {}
    skipped = 0
    for name in names:
        for place in _places(name):
            if not os.path.isdir(place):
                paths[place] = None
                continue
            for path, claims in _below(place):
                if claims:
                    paths[path] = None
                else:
                    skipped += 1
    if not paths:
        shown = folder_layouts.shortened(names)
        raise InputError(f"{shown}: no images in there.", hint="Name image files, or folders that hold some.")
    return Selection(paths=tuple(paths), skipped=skipped)


def _places(name: str) -> list[str]:
    """What a name stands for: itself where it exists, else whatever matches it as a pattern."""
    if os.path.exists(name):
        return [name]
    if os.path.lexists(name):
        raise InputError(f"{printable(name)} is a broken link.", hint="Check where it points.")
    if any(sign in name for sign in "*?["):
        import glob

        found = sorted(glob.glob(name, recursive=True))
        if found:
            return found
        raise InputError(f"{printable(name)}: nothing matches.", hint="Check the pattern, or put it in quotes.")
    raise InputError(f"no such file or folder: {printable(name)}.", hint="Check the path.")


def _below(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield every file below a folder and whether it claims to be an image; a folder that was seen is not entered."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not folder_layouts.is_hidden(name))
        for name in sorted(files):
            path = os.path.join(place, name)
            yield path, not folder_layouts.is_hidden(name) and folder_layouts.is_image(path)
