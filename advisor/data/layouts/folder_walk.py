"""List folders: which files are images, which are skipped, and all images below a folder.

Symbolic links are followed, each folder is entered once per walk, so that cycles end. Files with a known image suffix
count as images; files with any other suffix, or none, are recognised by their first bytes. Does NOT cover: decoding.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from advisor.data.archives import unpacking
from advisor.data.images import IMAGE_SUFFIXES
from advisor.data.layouts import names
from advisor.data.layouts.listing import shortened
from advisor.errors import DatasetError
from advisor.records import Unreadable
from advisor.records.data import LabelledFile, Listing

_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG",
    b"GIF8",
    b"BM",
    b"II*\0",  # TIFF
    b"MM\0*",
    b"\0\0\0\x0cjP  ",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"8BPS",
    b"qoif",
)
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc")
_DICOM_OFFSET = 128


def is_image(path: str) -> bool:
    """Return True where the suffix, or else the first bytes, are those of an image."""
    suffix = names.suffix_of(path)
    if suffix in IMAGE_SUFFIXES:
        return True
    return suffix not in names.NOT_IMAGES and suffix not in names.RAW and starts_like_image(path)


def starts_like_image(path: str) -> bool:
    """Return True where the first bytes of a regular file are those of an image format."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as stream:
            start = stream.read(_DICOM_OFFSET + 4)
    except OSError:
        return False
    return is_image_start(start)


def is_image_start(start: bytes) -> bool:
    """Return True where bytes, the first 132 of a file, are those of an image format."""
    return (
        start.startswith(_SIGNATURES)
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
        or start[_DICOM_OFFSET : _DICOM_OFFSET + 4] == b"DICM"
    )


@dataclass(frozen=True, slots=True)
class Level:
    """One folder: names of sub-folders, images and other files, the number of hidden entries; `refused` if not listed."""

    folders: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    hidden: int = 0
    refused: str = ""

    @staticmethod
    def read(path: Path | str) -> Level:
        """List a folder, sorted by name."""
        folders, images, others, hidden = [], [], [], 0
        try:
            with os.scandir(path) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            return Level(refused=error.strerror or type(error).__name__)
        for entry in ordered:
            if names.is_hidden(entry.name):
                hidden += not unpacking.is_mark(entry.path)
            elif _is_folder(entry):
                folders.append(entry.name)
            elif is_image(entry.path):
                images.append(entry.name)
            else:
                others.append(entry.name)
        return Level(tuple(folders), tuple(images), tuple(others), hidden)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


class Walk:
    """Collects the images below the folders of one root, and counts what it skips."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hidden = 0
        self.unlabelled = 0
        self.suffixes: Counter[str] = Counter()
        self.cycles = 0
        self.unreadable: list[Unreadable] = []

    def count(self, relative: str, level: Level) -> None:
        """Count what is skipped in one folder."""
        self.hidden += level.hidden
        self.suffixes.update(names.suffix_of(name) for name in level.others)
        if level.refused:
            self.unreadable.append(Unreadable(path=relative + "/", reason=level.refused.lower()))

    def images(self, relative: str) -> Iterator[str]:
        """Yield the image files at and below a folder, relative to the root.

        Links back to a folder that holds this one are not followed: their images belong to other classes.
        """
        visited = self._above(relative)
        waiting = [relative]
        while waiting:
            folder = waiting.pop()
            try:
                state = os.stat(self.root / folder)
            except OSError as error:  # of a folder that may be listed and not entered, or that was just removed
                self.count(folder, Level(refused=error.strerror or type(error).__name__))
                continue
            if (state.st_dev, state.st_ino) in visited:
                self.cycles += 1
                continue
            visited.add((state.st_dev, state.st_ino))
            level = Level.read(self.root / folder)
            self.count(folder, level)
            yield from (f"{folder}/{name}" if folder else name for name in level.images)
            waiting += [f"{folder}/{name}" if folder else name for name in level.folders]

    def _above(self, relative: str) -> set[tuple[int, int]]:
        """Return the root and the folders between it and a folder below it, as (device, inode)."""
        parents = ["", *itertools.accumulate(relative.split("/")[:-1], "{}/{}".format)] if relative else []
        states = [os.stat(self.root / parent) for parent in parents]
        return {(state.st_dev, state.st_ino) for state in states}

    def of_class(self, relative: str) -> list[str]:
        """Return the images of a class folder. Raises DatasetError where it has files but no image among them."""
        before = Counter(self.suffixes)
        images = list(self.images(relative))
        lost = self.suffixes - before
        if lost and not images and not any(u.path.startswith(relative) for u in self.unreadable):
            raise DatasetError(
                f"class folder {shortened([str(self.root / relative)])}/ holds {_files(sum(lost.values()))}, none of them "
                f"an image that can be read ({suffix_counts(lost)}).",
                hint=_suffix_hint(lost)
                + f" Or leave the class out: --exclude {shortened([relative.rsplit('/', 1)[-1]])}.",
            )
        return images

    def listing(self, layout: str, entries: list[LabelledFile], warnings: list[str]) -> Listing:
        """Return everything that was collected as a `Listing`."""
        if self.cycles:
            warnings = [*warnings, f"symbolic links back to a folder already read are not followed: {self.cycles}."]
        raw = Counter({s: n for s, n in self.suffixes.items() if s in names.RAW})
        if raw:
            warnings = [
                *warnings,
                f"camera raw files are skipped ({suffix_counts(raw)}): convert them to JPEG or TIFF.",
            ]
        unread = Counter({s: n for s, n in self.suffixes.items() if s in names.NOT_READ})
        if unread:
            note = f"images of formats that are not read are skipped ({suffix_counts(unread)}): convert them to JPEG or PNG."
            warnings = [*warnings, note]
        return Listing(
            root=self.root,
            layout=layout,
            entries=tuple(sorted(entries, key=lambda entry: entry.path)),
            skipped=self.hidden + self.unlabelled + sum(self.suffixes.values()),
            skipped_suffixes=dict(sorted(self.suffixes.items())),
            unreadable=tuple(self.unreadable),
            warnings=tuple(warnings),
        )


def suffix_counts(counts: Counter[str]) -> str:
    """Return suffixes with their counts for one line of text, the most common first."""
    return shortened([f"{suffix or 'no suffix'} {n}" for suffix, n in counts.most_common()])


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"


def _suffix_hint(counts: Counter[str]) -> str:
    if set(counts) & names.RAW:
        return "Convert camera raw files to JPEG or TIFF."
    return "Convert them to JPEG, PNG or TIFF."
