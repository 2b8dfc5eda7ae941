"""A folder of Parquet files, several per data set or per split (extra `parquet`): `train-00000-of-00002.parquet`.

The layout of data sets on the Hugging Face hub: files in `data/`, whose names begin with the split, or `default/train/`
with numbered files. Image bytes are written once into the cache. Does NOT cover: one Parquet file (`manifest`).
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import defaultdict
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Level
from advisor.data.layouts.listing import shortened, side_by_side
from advisor.data.tables import parquet, rows
from advisor.errors import DatasetError
from advisor.records.data import GivenSplit, Listing, ReadOptions

NAME = "parquet"
_MOST_MISSING = 1_000  # names of missing files that are counted
_DEPTH = 3  # folders below the given one: hub repositories have data/, or CONFIG/SPLIT/


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True for a folder whose folders hold nothing but Parquet files, more than one at its top or any below."""
    if not path.is_dir():
        return False
    files = _files(path, options)
    return bool(files) and (len(files) > 1 or files[0].parent != path)


def read(path: Path, options: ReadOptions) -> Listing:
    """List the images of every split. Raises DatasetError for two data sets in one folder, and for damaged files."""
    files = _files(path, options) or []
    splits: dict[GivenSplit, list[Path]] = defaultdict(list)
    sets: dict[Path, None] = {}
    stated = names.splits_of_files([file.stem for file in files])
    split_of = {file: stated[file.stem] or names.split_of(file.parent.name) for file in files}
    beside = names.beside_training({str(file.relative_to(path)): split for file, split in split_of.items()})
    for file in files:
        folder = file.parent
        if str(file.relative_to(path)) not in beside:
            splits[split_of[file]].append(file)
        sets[folder.parent if folder != path and names.split_of(folder.name) else folder] = None
    if len(sets) > 1:
        raise DatasetError(
            f"{printable(str(path))} holds the Parquet files of several data sets ({shortened([d.name for d in sets])}).",
            hint=f"Give one of them: {printable(str(next(iter(sets))))}.",
        )
    if not files:
        raise DatasetError(f"{printable(str(path))} holds no Parquet files.", hint="Check the path.")
    listings = [_read_split(files, split, options) for split, files in sorted(splits.items())]
    listing = listings[0] if len(listings) == 1 else side_by_side(listings)
    notes = [f"Parquet files beside the splits are skipped: {shortened(beside)}."] if beside else []
    return dataclasses.replace(listing, warnings=(*notes, *_missing(files), *listing.warnings))


def _read_split(files: list[Path], split: GivenSplit, options: ReadOptions) -> Listing:
    listing = rows.listing(parquet.read_shards(files, split), NAME, options)
    entries = tuple(dataclasses.replace(e, given=e.given or split) for e in listing.entries)
    note = (
        f"{len(files)} Parquet file{'s' * (len(files) != 1)} read as {f'the {split} split' if split else 'one table'}."
    )
    return dataclasses.replace(listing, entries=entries, warnings=(note, *listing.warnings))


def _missing(files: list[Path]) -> list[str]:
    """Return a warning about files that are missing by the numbers in the names of the others (`-00000-of-00002`)."""
    numbers: dict[tuple[Path, str, str], set[int]] = defaultdict(set)
    for file in files:
        match = re.match(r"(.*-)(\d+)-of-(\d+)", file.stem)
        if match:
            numbers[file.parent, match[1], match[3]].add(int(match[2]))
    absent = [
        f"{start}{number:0{len(total)}}-of-{total}"
        for (_, start, total), present in sorted(numbers.items())
        for number in itertools.islice((n for n in range(int(total)) if n not in present), _MOST_MISSING)
    ]
    return [f"Parquet files are missing by the names of the others: {shortened(absent)}."] if absent else []


def _files(path: Path, options: ReadOptions, depth: int = _DEPTH) -> list[Path]:
    """Return the Parquet files at and below a folder; none where images or deeper folders lie among them."""
    level = Level.read(path)
    folders = [name for name in level.folders if name not in options.exclude]
    files = [path / name for name in level.others if names.suffix_of(name) in parquet.SUFFIXES]
    if level.images or (folders and not depth):
        return []
    below = [_files(path / name, options, depth - 1) for name in folders]
    return files + [file for inner in below for file in inner] if all(below) else []
