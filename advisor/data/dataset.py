"""A path -> a `Dataset`: every file labelled, hashed, its header read, its split decided.

One read of each file's bytes serves hash and header, in threads, without torch. Covered: all layouts of design.md 3.3, the
locked test (given or cut), the fingerprint. Not covered: decoding (`profile`, `pixels`), duplicates (`duplicates`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from advisor.aliases import CountProgress
from advisor.data import folder_layouts, images, manifest, splits
from advisor.data.folder_layouts import Entry, Listing
from advisor.errors import DatasetError, InputError
from advisor.records import Dataset, DataSplit, Item, Unreadable

TEST_SPLITS = ("auto", "none")
_BATCH = 64  # files that a thread takes at once
_WHOLE = 256 * 1024 * 1024  # bytes; a larger file is hashed in pieces


def read(path: str | Path, *, test_split: str = "auto", progress: CountProgress | None = None) -> Dataset:
    """Read a folder or manifest: list it, hash every file, read the headers, lock the test.

    `test_split` "auto" takes the given test or cuts 20 %; "none" cuts none (a given test stays locked). Raises
    DatasetError where no image is left to learn from, InputError for an unknown `test_split`.
    """
    if test_split not in TEST_SPLITS:
        raise InputError(f"unknown test split {test_split!r}.", hint=f"Give one of {', '.join(TEST_SPLITS)}.")
    listing = find(path)
    files = _examine_all(listing, progress)
    readable = [file for file in files if not file.reason]
    refused = [Unreadable(path=file.entry.path, reason=file.reason) for file in files if file.reason]
    unreadable = tuple(sorted((*listing.unreadable, *refused), key=lambda u: u.path))
    if not readable:
        raise _nothing(listing, unreadable)
    test_name, odd = _given_test([file.entry for file in readable])
    classes = tuple(sorted({file.entry.label for file in readable if not _locked(file, test_name)}))
    number = {name: index for index, name in enumerate(classes)}
    items = tuple(_item(file, number, test_name) for file in readable if file.entry.label in number)
    dataset = Dataset(
        root=str(listing.root),
        layout=listing.layout,
        classes=classes,
        items=items,
        unreadable=unreadable,
        skipped=listing.skipped,
        split=_counted(items, "given" if test_name else "none", 0.0),
        fingerprint=fingerprint((f.entry.given, f.entry.label, f.entry.path, f.sha256) for f in files if f.sha256),
        has_groups=listing.has_groups,
        warnings=(*listing.warnings, *odd, *_strangers(readable, number)),
    )
    return _cut(dataset) if not test_name and test_split == "auto" else dataset


def find(path: str | Path) -> Listing:
    """List the labelled files of a folder or manifest without opening them. Raises DatasetError."""
    path = Path(path)
    if manifest.is_manifest(path):
        return manifest.read(path)
    error = folder_layouts.folder_error(path)
    if error is not None:
        raise error
    lone = manifest.lone_manifest(path)
    try:
        found = folder_layouts.listing(path)
    except DatasetError:
        if lone is None:
            raise
        return manifest.read(lone)
    if lone is None:
        return found
    if found.layout == "folders" and len({entry.label for entry in found.entries}) < 2:
        return manifest.read(lone)
    note = f"{lone.name} lies beside the class folders and is not used; give its path to use it."
    return dataclasses.replace(found, warnings=(*found.warnings, note))


def fingerprint(files: Iterable[tuple[str, str, str, str]]) -> str:
    """Hash the sorted (given split, label, relative path, SHA-256 of bytes) of all labelled files that can be opened.

    Files that are no readable image count as well, so that the fingerprint does not depend on the decoder's version.
    """
    lines = sorted("\0".join(file).encode("utf-8", "surrogateescape") for file in files)
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def drop_items(dataset: Dataset, paths: Iterable[str], unreadable: Sequence[Unreadable] = ()) -> Dataset:
    """Drop the items at `paths`, recount, and number the classes again; the fingerprint and the cut stay as they are.

    Classes that lose their last pool image leave the data set, their test images with them (a warning says so).
    """
    gone = set(paths)
    left = [item for item in dataset.items if item.path not in gone]
    names = sorted({dataset.classes[item.label] for item in left if item.split == "pool"})
    number = {name: index for index, name in enumerate(names)}
    items = tuple(
        dataclasses.replace(item, label=number[dataset.classes[item.label]])
        for item in left
        if dataset.classes[item.label] in number
    )
    lost = [name for name in dataset.classes if name not in number]
    notes = (
        [f"no image left in training, so left out of the test too: {folder_layouts.shortened(lost)}."] if lost else []
    )
    return dataclasses.replace(
        dataset,
        classes=tuple(names),
        items=items,
        unreadable=tuple(sorted((*dataset.unreadable, *unreadable), key=lambda u: u.path)),
        split=_counted(items, dataset.split.rule, dataset.split.fraction),
        warnings=(*dataset.warnings, *notes),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """An entry after it was opened; `reason` says why it is no image, "" where it is one."""

    entry: Entry
    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    mode: str = ""
    reason: str = ""


def _examine(root: str, entry: Entry) -> _File:
    path = os.path.join(root, entry.path)
    digest, size = "", 0
    try:
        if not os.path.isfile(path):  # a named pipe would block for ever
            broken = os.path.islink(path) and not os.path.exists(path)
            return _File(entry, reason="broken symbolic link" if broken else "not a regular file")
        size = os.path.getsize(path)
        with open(path, "rb") as stream:
            if size > _WHOLE:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                width, height, mode = images.header(path)
            else:
                content = stream.read()
                digest, size = hashlib.sha256(content).hexdigest(), len(content)
                width, height, mode = images.header(content)
    except (OSError, ValueError) as error:
        return _File(entry, sha256=digest, bytes=size, reason=images.reason(error))
    return _File(entry, digest, size, width, height, mode)


def _examine_all(listing: Listing, progress: CountProgress | None) -> list[_File]:
    root, entries = str(listing.root), listing.entries
    batches = [entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH)]
    files: list[_File] = []
    # More threads than cores: on network and spinning disks the time goes into waiting.
    with images.quiet(), ThreadPoolExecutor(max_workers=min(16, 4 * (os.cpu_count() or 1))) as pool:
        for batch in pool.map(lambda batch: [_examine(root, entry) for entry in batch], batches):
            files += batch
            if progress is not None:
                progress(len(files), len(entries))
    return files


def _nothing(listing: Listing, unreadable: Sequence[Unreadable]) -> DatasetError:
    root = images.printable(str(listing.root))
    hint = "Put the images of each class into a folder of their own, or give a CSV or TSV manifest (path,label)."
    if not unreadable:
        return DatasetError(f"{root}: the folders hold no images.", hint=hint)
    first = unreadable[0]
    return DatasetError(
        f"{root}: none of the {len(unreadable)} images can be read "
        f"(first: {images.printable(first.path)}: {first.reason}).",
        hint="Check the files.",
    )


def _given_test(entries: Sequence[Entry]) -> tuple[str, list[str]]:
    """Which given split is the locked test: "test", else "val" beside a train, else "" (none is given)."""
    warnings: list[str] = []
    for name in ("test", "val"):
        tested = {entry.label for entry in entries if entry.given == name}
        learned = {entry.label for entry in entries if entry.given != name}
        if tested & learned:
            return name, warnings
        if tested and learned:
            warnings.append(f"the given {name} shares no class with the rest: it is not used as a test.")
    return "", warnings


def _locked(file: _File, test_name: str) -> bool:
    return bool(test_name) and file.entry.given == test_name


def _strangers(files: Sequence[_File], number: dict[str, int]) -> list[str]:
    counts = Counter(file.entry.label for file in files if file.entry.label not in number)
    if not counts:
        return []
    return [
        f"{len(counts)} class{'es' * (len(counts) > 1)} only in the test ({folder_layouts.shortened(sorted(counts))}): "
        f"{sum(counts.values())} images left out."
    ]


def _item(file: _File, number: dict[str, int], test_name: str) -> Item:
    return Item(
        path=file.entry.path,
        label=number[file.entry.label],
        given=file.entry.given,
        split="test" if _locked(file, test_name) else "pool",
        sha256=file.sha256,
        width=file.width,
        height=file.height,
        mode=file.mode,
        bytes=file.bytes,
        group=file.entry.group,
    )


def _counted(items: Sequence[Item], rule: str, fraction: float) -> DataSplit:
    test = sum(item.split == "test" for item in items)
    return DataSplit(rule=rule, fraction=fraction, pool=len(items) - test, test=test)


def _cut(dataset: Dataset) -> Dataset:
    items = dataset.items
    locked = splits.cut_test([i.sha256 for i in items], [i.label for i in items], [i.group for i in items])
    if not locked.any():
        note = "no class has enough images for a test: no test score will be given."
        return dataclasses.replace(dataset, warnings=(*dataset.warnings, note))
    cut = tuple(dataclasses.replace(i, split="test") if lock else i for i, lock in zip(items, locked, strict=True))
    return dataclasses.replace(dataset, items=cut, split=_counted(cut, "cut", splits.TEST_FRACTION))
