"""A folder as it lies there -> labelled entries, before any file is opened.

Class folders; train/val/test of class folders (manifests: `manifests`). Hidden and foreign files are left out and
counted, symbolic links are followed once, loops are cut. Not covered: whether a file is an image (`dataset`), which
split an item ends up in (`splits`). Source of the layouts: docs/design.md 3.3.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.errors import DatasetError
from advisor.records import Unreadable

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
MANIFEST_SUFFIXES = (".csv", ".tsv")
_FOREIGN_NAMES = frozenset(
    {"__macosx", "@eadir", "__pycache__", "$recycle.bin", "system volume information", "lost+found"}
)
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file that is labelled: its path relative to the root (forward slashes), label name, given split, group."""

    path: str
    label: str
    given: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a layout states: `entries` sorted by path, what was left out, and what a person should know."""

    root: Path
    layout: str
    entries: tuple[Entry, ...]
    skipped: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    warnings: tuple[str, ...] = ()
    has_groups: bool = False


def listing(path: Path) -> Listing:
    """List the labelled files of a class-folder or train/val/test layout under the folder `path`.

    Raises DatasetError where the folder has no layout that we know, with the reason and the next step.
    """
    top = _Level.read(path)
    given = _split_folders(path, top.folders)
    if given:
        return _read_splits(path, top, given)
    return _read_classes(path, top)


def label_name(text: str) -> str:
    """Make a label printable and comparable: bytes that are no UTF-8 spelt out, composed Unicode (NFC)."""
    return unicodedata.normalize("NFC", printable(text))


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder belongs to the system, an editor or an archiver rather than to the data."""
    return name.startswith((".", "~$")) or name.lower() in _FOREIGN_NAMES


def is_image(path: str) -> bool:
    """Tell by the name, or by the first bytes where there is no suffix, whether a file claims to be an image."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in IMAGE_SUFFIXES or (not suffix and _looks_like_image(path))


def shortened(names: Iterable[str], most: int = 5) -> str:
    """Join names for one line of text, the first `most` and how many more there are."""
    shown = [printable(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def folder_error(path: Path) -> DatasetError | None:
    """Say why `path` cannot be a data folder (missing, a file, an archive, no permission), or None."""
    shown = printable(str(path))
    if not os.path.lexists(path):
        return DatasetError(f"no such folder: {shown}.", hint="Check the path.")
    if path.is_symlink() and not path.exists():
        return DatasetError(f"{shown} is a broken symbolic link.", hint="Check where it points.")
    if path.is_dir():
        return None if os.access(path, os.R_OK | os.X_OK) else DatasetError(f"permission denied: {shown}.")
    if path.suffix.lower() in _ARCHIVES:
        return DatasetError(f"{shown} is an archive, not a folder.", hint="Unpack it and give the folder.")
    return DatasetError(
        f"{shown} is a file, not a folder.",
        hint="Give a folder of class folders, of train/val/test, or a CSV or TSV manifest (path,label).",
    )


@dataclass(frozen=True, slots=True)
class _Level:
    """One folder, listed: names of sub-folders, image files, hidden and foreign entries."""

    folders: tuple[str, ...]
    images: tuple[str, ...]
    hidden: int
    foreign: int
    refused: str = ""

    @staticmethod
    def read(path: Path | str) -> _Level:
        folders, images, hidden, foreign = [], [], 0, 0
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            return _Level((), (), 0, 0, refused=error.strerror or type(error).__name__)
        for entry in entries:
            if is_hidden(entry.name):
                hidden += 1
            elif _is_folder(entry):
                folders.append(entry.name)
            elif is_image(entry.path):
                images.append(entry.name)
            else:
                foreign += 1
        return _Level(tuple(folders), tuple(images), hidden, foreign)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points at itself
        return False


def _looks_like_image(path: str) -> bool:
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as stream:
            start = stream.read(16)
    except OSError:
        return False
    return start.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")) or (
        start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    )


def _split_folders(path: Path, folders: Iterable[str]) -> dict[str, str]:
    """Folder name -> split, where the folders are splits; empty where they are classes."""
    given = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    if not given:
        return {}
    inside = {name: _Level.read(path / name) for name in given}
    holds_classes = [name for name, split in given.items() if split == "train" and inside[name].folders]
    if holds_classes:
        alone = len(list(folders)) == 1
        return given if alone or len(set(given.values())) > 1 else {}
    if len(given) == len(list(folders)) and any(level.folders for level in inside.values()):
        names = ", ".join(sorted(given))
        raise DatasetError(
            f"{printable(str(path))} has {names} but no train/ with class folders.",
            hint="Add train/, or give the folder that holds the class folders.",
        )
    return {}


def _read_splits(path: Path, top: _Level, given: dict[str, str]) -> Listing:
    walk = _Walk(path)
    walk.skipped += top.hidden + top.foreign
    warnings = []
    strangers = [name for name in top.folders if name not in given]
    if strangers:
        walk.skipped += len(strangers)
        warnings.append(f"folders beside train/ left out: {shortened(strangers)}.")
    if top.images:
        walk.skipped += len(top.images)
        warnings.append(f"{len(top.images)} images lie beside train/ and belong to no split: left out.")
    entries: list[Entry] = []
    for folder, split in sorted(given.items()):
        level = _Level.read(path / folder)
        walk.count(folder, level)
        if level.images:
            walk.skipped += len(level.images)
            warnings.append(f"{folder}/ holds {len(level.images)} images outside class folders: no label, left out.")
        for name in level.folders:
            label = label_name(name)
            entries += [Entry(path=p, label=label, given=split) for p in walk.images(f"{folder}/{name}")]
    return _finish(path, "splits", entries, walk, warnings)


def _read_classes(path: Path, top: _Level) -> Listing:
    if top.refused:
        raise DatasetError(f"cannot list {printable(str(path))}: {top.refused}.")
    if not top.folders:
        raise _no_classes(path, top)
    walk = _Walk(path)
    walk.skipped += top.hidden + top.foreign + len(top.images)
    warnings = []
    if top.images:
        warnings.append(f"{len(top.images)} images lie beside the class folders and have no label: left out.")
    entries: list[Entry] = []
    for name in top.folders:
        found = [Entry(path=p, label=label_name(name)) for p in walk.images(name)]
        if not found:
            warnings.append(f"class folder {printable(name)}/ holds no images: left out.")
        entries += found
    warnings += _domains(path, top.folders, entries)
    return _finish(path, "folders", entries, walk, warnings)


def _no_classes(path: Path, top: _Level) -> DatasetError:
    shown = printable(str(path))
    hint = "Put the images of each class into a folder of their own, or give a CSV or TSV manifest (path,label)."
    if top.images:
        return DatasetError(f"{shown} holds {len(top.images)} images but no class folders.", hint=hint)
    what = "holds no images" if top.foreign or top.hidden else "is empty"
    return DatasetError(f"{shown} {what}.", hint=hint)


def _domains(path: Path, folders: tuple[str, ...], entries: list[Entry]) -> list[str]:
    """Warn where every class folder holds the same sub-folders: the classes are probably one level further down."""
    below: dict[str, set[str]] = {name: set() for name in folders}
    for entry in entries:
        parts = entry.path.split("/")
        below[parts[0]].add(parts[1] if len(parts) > 2 else "")
    sets = [names for names in below.values() if names]
    if len(sets) < 2 or len(sets[0]) < 2 or "" in sets[0] or any(names != sets[0] for names in sets):
        return []
    return [
        f"{shortened(folders)} all hold the same sub-folders ({shortened(sorted(sets[0]))}): the top folders are taken "
        f"as the classes; for the sub-folders as classes give {printable(str(path / folders[0]))}."
    ]


def _finish(path: Path, layout: str, entries: list[Entry], walk: _Walk, warnings: list[str]) -> Listing:
    if walk.loops:
        warnings.append(f"symbolic links that lead back to a folder already read are not followed: {walk.loops}.")
    return Listing(
        root=path,
        layout=layout,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        skipped=walk.skipped,
        unreadable=tuple(walk.unreadable),
        warnings=tuple(warnings),
    )


class _Walk:
    """A walk below one root that counts what it leaves out and enters no folder twice within a class."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.skipped = 0
        self.loops = 0
        self.unreadable: list[Unreadable] = []

    def count(self, relative: str, level: _Level) -> None:
        self.skipped += level.hidden + level.foreign
        if level.refused:
            self.unreadable.append(Unreadable(path=relative + "/", reason=level.refused.lower()))

    def images(self, relative: str) -> Iterator[str]:
        """Yield the image files at and below a class folder, relative to the root."""
        seen: set[tuple[int, int]] = set()
        waiting = [relative]
        while waiting:
            folder = waiting.pop()
            state = os.stat(self.root / folder)
            if (state.st_dev, state.st_ino) in seen:
                self.loops += 1
                continue
            seen.add((state.st_dev, state.st_ino))
            level = _Level.read(self.root / folder)
            self.count(folder, level)
            yield from (f"{folder}/{name}" for name in level.images)
            waiting += [f"{folder}/{name}" for name in level.folders]
