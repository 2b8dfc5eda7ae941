"""Read a path as a `Dataset`: every file labelled, hashed, its header read, its split decided.

In: a folder, table or archive (`layouts`). Out: a `Dataset` with the held-out test set (given or split off), the fingerprint
and warnings. One read of each file's bytes serves hash and header, in threads, without torch. Does NOT cover: decoding
(`profile`, `pixels`), duplicates (`duplicates`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from advisor.aliases import CountProgress, Note
from advisor.data import file_scan, label_checks, splits
from advisor.data.archives import unpacking
from advisor.data.decoding import decode_limits, to_rgb
from advisor.data.file_scan import ScannedFile
from advisor.data.images import printable
from advisor.data.layouts import registry
from advisor.data.layouts.listing import counted, shortened
from advisor.data.remote import data_sets
from advisor.errors import DatasetError, InputError
from advisor.records import Dataset, DataSplit, Item, Unreadable
from advisor.records.data import GivenSplit, LabelledFile, Listing, ReadOptions, SplitRule, ValidationUse, ValueRange

TEST_SPLITS = ("auto", "none")


def read(
    path: str | Path,
    *,
    test_split: str = "auto",
    options: ReadOptions | None = None,
    progress: CountProgress | None = None,
    note: Note | None = None,
    offline: bool = False,
) -> Dataset:
    """Read a folder, table or archive: list it, hash every file, read the headers, hold out the test set.

    `test_split` "auto" takes the given test set or cuts 20 %; "none" cuts none (a given test set stays held out). What a URL
    names is fetched first, unless `offline`; `note` hears before how much that is.
    Raises DatasetError where no image is left to learn from, InputError for an unknown `test_split` or option.
    """
    options = options or ReadOptions()
    _check_options(test_split, options)
    decode_limits.set_max_pixels(options.max_pixels)
    path = data_sets.local(path, options, offline=offline, note=note, progress=progress)
    listing = registry.find(path, options)
    counts = Counter(entry.label for entry in listing.entries)
    label_checks.check(counts, printable(str(path)), are_folders=listing.layout in registry.CLASS_FOLDERS)
    files = file_scan.scan(str(listing.root), listing.entries, progress)
    readable = [file for file in files if not file.reason]
    unreadable = tuple(sorted((*listing.unreadable, *file_scan.refused(files)), key=lambda u: u.path))
    if not readable:
        raise _nothing(path, unreadable)
    _check_lost(path, files)
    roles = _Roles.of([file.entry for file in readable], options.val)
    learned = sorted({file.entry.label for file in readable if file.entry.given not in roles.outside_training})
    number = {name: index for index, name in enumerate(learned)}
    used = [file for file in readable if file.entry.given not in roles.unusable]
    items = tuple(_item(file, number, roles.test) for file in used if file.entry.label in number)
    dataset = Dataset(
        root=str(listing.root),
        layout=listing.layout,
        classes=tuple(learned),
        items=items,
        unreadable=unreadable,
        skipped=listing.skipped,
        skipped_suffixes=dict(listing.skipped_suffixes),
        split=_counted(items, "given" if roles.test else "none", 0.0),
        fingerprint=fingerprint((f.entry.given, f.entry.label, f.entry.path, f.sha256) for f in files if f.sha256),
        has_groups=listing.has_groups,
        holds_out_val=roles.holds_out_val,
        warnings=(
            *label_checks.remarks(counts),
            *listing.warnings,
            *roles.warnings,
            *file_scan.lost_splits(files),
            *_only_in_test(used, number),
        ),
    )
    dataset = cut(dataset) if not roles.test and test_split == "auto" else _validation_checked(dataset)
    return _with_range(dataset, {file.entry.path: file for file in used})


def find(
    path: str | Path, options: ReadOptions | None = None, *, offline: bool = False, note: Note | None = None
) -> Listing:
    """List the labelled files of a folder, table or archive, as `read` does, without opening them. Raises DatasetError."""
    options = options or ReadOptions()
    decode_limits.set_max_pixels(options.max_pixels)
    return registry.find(data_sets.local(path, options, offline=offline, note=note), options)


def fingerprint(files: Iterable[tuple[str, str, str, str]]) -> str:
    """Hash the sorted (given split, label, relative path, SHA-256 of bytes) of all labelled files that can be opened.

    Files that are no readable image count as well, so that the fingerprint does not depend on the decoder's version.
    """
    lines = sorted("\0".join(file).encode("utf-8", "surrogateescape") for file in files)
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def drop_items(dataset: Dataset, paths: Iterable[str], unreadable: Sequence[Unreadable] = ()) -> Dataset:
    """Return the data set without the items at `paths`, counted and numbered again; fingerprint and test set stay.

    Classes that lose their last pool image leave the data set, their test images with them (a warning says so).
    """
    dropped = set(paths)
    remaining = [item for item in dataset.items if item.path not in dropped]
    names = sorted({dataset.classes[item.label] for item in remaining if item.split == "pool"})
    number = {name: index for index, name in enumerate(names)}
    items = tuple(
        dataclasses.replace(item, label=number[dataset.classes[item.label]])
        for item in remaining
        if dataset.classes[item.label] in number
    )
    lost = [name for name in dataset.classes if name not in number]
    notes = [f"no training image left, so removed from the test set too: {shortened(lost)}."] if lost else []
    if dataset.test and not any(item.split == "test" for item in items):
        notes.append("no image is left in the test set: there will be no test score.")
    return dataclasses.replace(
        dataset,
        classes=tuple(names),
        items=items,
        unreadable=tuple(sorted((*dataset.unreadable, *unreadable), key=lambda u: u.path)),
        split=_counted(items, dataset.split.rule, dataset.split.fraction),
        warnings=(*dataset.warnings, *notes),
    )


def _check_options(test_split: str, options: ReadOptions) -> None:
    if test_split not in TEST_SPLITS:
        raise InputError(f"unknown test split {test_split!r}.", hint=f"Give one of {', '.join(TEST_SPLITS)}.")
    if options.val not in get_args(ValidationUse):
        raise InputError(f"unknown use of the validation set {options.val!r}.", hint="Give holdout or pool.")


def _nothing(path: Path, unreadable: Sequence[Unreadable]) -> DatasetError:
    root = printable(unpacking.given(path))
    hint = "Put the images of each class into a folder of its own, or give a CSV or TSV manifest (path,label)."
    if not unreadable:
        return DatasetError(f"{root}: the folders hold no images.", hint=hint)
    first = unreadable[0]
    return DatasetError(
        f"{root}: none of the {len(unreadable)} images can be read (first: {printable(first.path)}: {first.reason}).",
        hint="Check the files.",
    )


def _check_lost(path: Path, files: Sequence[ScannedFile]) -> None:
    """Raise DatasetError where a class has files but none of them can be read."""
    readable = {file.entry.label for file in files if not file.reason}
    lost = sorted({file.entry.label for file in files} - readable)
    if not lost:
        return
    unreadable = [file for file in files if file.entry.label == lost[0]]
    more = f" (and {len(lost) - 1} more classes)" if len(lost) > 1 else ""
    raise DatasetError(
        f"{printable(unpacking.given(path))}: class {printable(lost[0])}{more} has no readable image: none of its "
        f"{len(unreadable)} (first: {printable(unreadable[0].entry.path)}: {unreadable[0].reason}).",
        hint="Repair the files, or remove them to leave the class out.",
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Roles:
    """What the given splits are used for: `test` is held out, `unusable` ones share no class with training."""

    test: GivenSplit
    holds_out_val: bool
    unusable: frozenset[str]
    warnings: tuple[str, ...]

    @property
    def outside_training(self) -> frozenset[str]:
        return self.unusable | ({self.test} if self.test else set())

    @staticmethod
    def of(entries: Sequence[LabelledFile], val: ValidationUse) -> _Roles:
        """Use test, else val beside a train, as the test set; a val beside a test validates or joins the pool."""
        labels = {name: {e.label for e in entries if e.given == name} for name in ("", "train", "val", "test")}
        learned = labels[""] | labels["train"] | (labels["val"] if not labels["train"] else set())
        warnings: list[str] = []
        unusable: set[str] = set()
        for name in ("test", "val"):
            if labels[name] and learned and not labels[name] & learned:
                unusable.add(name)
                count = sum(e.given == name for e in entries)
                warnings.append(
                    f"the given {name} split shares no class with the training images ({shortened(sorted(labels[name]))}): "
                    f"{counted(count, 'image')} left out; if they have no labels, `tl-advise predict` classifies them."
                )
        test: GivenSplit = ""
        for candidate in ("test", "val"):
            if not test and candidate not in unusable and labels[candidate] & learned and _others(labels, candidate):
                test = "test" if candidate == "test" else "val"
        holds_out = test == "test" and bool(labels["val"]) and "val" not in unusable and bool(labels["train"])
        if holds_out:
            images = counted(sum(e.given == "val" for e in entries), "image")
            warnings.append(
                f"the given validation split ({images}) validates during the search; --val pool makes it training data."
                if val == "holdout"
                else f"the given validation split ({images}) joins the training images (--val pool)."
            )
        return _Roles(test, holds_out and val == "holdout", frozenset(unusable), tuple(warnings))


def _others(labels: dict[str, set[str]], name: str) -> bool:
    return any(names for other, names in labels.items() if other != name)


def _only_in_test(files: Sequence[ScannedFile], number: dict[str, int]) -> list[str]:
    counts = Counter(file.entry.label for file in files if file.entry.label not in number)
    if not counts:
        return []
    return [
        f"{counted(len(counts), 'class')} only in the test set ({shortened(sorted(counts))}): "
        f"{counted(sum(counts.values()), 'image')} left out."
    ]


def _item(file: ScannedFile, number: dict[str, int], test: GivenSplit) -> Item:
    return Item(
        path=file.entry.path,
        label=number[file.entry.label],
        given=file.entry.given,
        split="test" if test and file.entry.given == test else "pool",
        sha256=file.sha256,
        width=file.width,
        height=file.height,
        mode=file.mode,
        bytes=file.bytes,
        group=file.entry.group,
    )


def _counted(items: Sequence[Item], rule: SplitRule, fraction: float) -> DataSplit:
    test = sum(item.split == "test" for item in items)
    return DataSplit(rule=rule, fraction=fraction, pool=len(items) - test, test=test)


def cut(dataset: Dataset) -> Dataset:
    """Hold out a test set by contents, labels and groups, whatever was held out before; given splits are not considered."""
    items = tuple(dataclasses.replace(item, split="pool") for item in dataset.items)
    held_out = splits.cut_test([i.sha256 for i in items], [i.label for i in items], [i.group for i in items])
    if not held_out.any():
        note = "no class has enough images for a test set: no test score will be given."
        return dataclasses.replace(dataset, warnings=(*dataset.warnings, note))
    divided = tuple(dataclasses.replace(i, split="test") if out else i for i, out in zip(items, held_out, strict=True))
    return dataclasses.replace(dataset, items=divided, split=_counted(divided, "cut", splits.TEST_FRACTION))


def _validation_checked(dataset: Dataset) -> Dataset:
    """Return the data set with its validation images pooled, and a warning, where they are too few to validate."""
    if not dataset.holds_out_val:
        return dataset
    pool = dataset.pool
    groups = splits.groups_of(pool)
    held_out = [item.given == "val" for item in pool]
    if splits.can_hold_out([item.label for item in pool], groups, held_out, k=splits.FOLDS):
        return dataset
    note = f"the given validation split is too small for {splits.FOLDS} folds: it joins the training images."
    warnings = tuple(w for w in dataset.warnings if "given validation split" not in w)
    return dataclasses.replace(dataset, holds_out_val=False, warnings=(*warnings, note))


def _with_range(dataset: Dataset, files: dict[str, ScannedFile]) -> Dataset:
    """Add the range that 16-bit and float samples are scaled from, found on the pool, and warnings about it."""
    deep_colour = sum(item.mode.endswith(";16") and not to_rgb.is_deep(item.mode) for item in dataset.items)
    warnings = list(dataset.warnings)
    if deep_colour:
        warnings.append(f"{deep_colour} colour images have 16 bits per channel: read with their upper 8 bits.")
    windowed = sum(item.mode.endswith(";window") for item in dataset.items)
    if windowed:
        warnings.append(f"{windowed} DICOM files are shown by the window (centre, width) that each of them states.")
    deep = [item for item in dataset.pool if files[item.path].samples is not None]
    ranges = [samples for item in deep if (samples := files[item.path].samples) is not None]
    value_range: ValueRange | None = to_rgb.common_range(ranges, is_float=any(item.mode == "F" for item in deep))
    if value_range is not None:
        low, high = value_range
        warnings.append(
            f"{len(deep)} {'image has' if len(deep) == 1 else 'images have'} more than 8 bits per sample: {low:g} to {high:g} "
            "become black to white."
        )
        dark = to_rgb.dark(ranges, value_range)
        if dark:
            warnings.append(
                f"{dark} of them stay below a sixteenth of that range and become nearly black: images of different bit depths "
                "are mixed; convert them to one."
            )
        if len(deep) < len(dataset.pool):
            warnings.append(
                f"images of 8 bits and of more are mixed ({len(dataset.pool) - len(deep)} and {len(deep)})."
            )
    return dataclasses.replace(dataset, value_range=value_range, warnings=tuple(warnings))
