"""Images in one flat folder per split with tables beside them: `train/`, `test/`, `train.csv` (and often `test.csv`).

The tables name the images by id, with or without a suffix. A split without a table has no labels: skipped, and
`predict` is named. Source: the layout of many Kaggle competitions.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import manifest, names
from advisor.data.layouts.folder_walk import Level
from advisor.data.layouts.listing import shortened
from advisor.data.tables import rows
from advisor.errors import DatasetError
from advisor.records.data import Listing, ReadOptions

NAME = "kaggle"


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True where a table is named like a folder of images that states a split, and that table has labels."""
    return path.is_dir() and bool(_pairs(path, options))


def read(path: Path, options: ReadOptions) -> Listing:
    """List the files of each table below the folder that it is named like. Raises DatasetError."""
    listings = []
    if not _pairs(path, options):
        raise DatasetError(
            f"{printable(str(path))} holds no table that is named like a folder of training images and has labels.",
            hint="Put train.csv beside train/, or give the path of the table.",
        )
    for folder, tables in _pairs(path, options).items():
        split = names.split_of(folder)
        listing = _of_tables(path, folder, tables, options)
        entries = tuple(
            dataclasses.replace(e, given=e.given or names.split_of(e.path.split("/")[0]) or split)
            for e in listing.entries
        )
        listings.append(dataclasses.replace(listing, entries=entries))
    top = Level.read(path)
    read_folders = {entry.path.split("/")[0] for listing in listings for entry in listing.entries}
    beside = [name for name in top.folders if name not in read_folders and name not in options.exclude]
    warnings = []
    for folder in beside:
        count = len(Level.read(path / folder).images)
        if count:
            warnings.append(
                f"{printable(folder)}/ holds {count} images without labels: skipped; "
                f"`tl-advise predict RUN {shlex.quote(printable(str(path / folder)))}` classifies them."
            )
    listing = manifest.merged(listings, path)
    return dataclasses.replace(listing, warnings=tuple(dict.fromkeys((*listing.warnings, *warnings))))


def _of_tables(path: Path, folder: str, tables: Sequence[str], options: ReadOptions) -> Listing:
    """List the files of the table of a folder. Raises DatasetError where several tables say different things."""
    listings: dict[str, Listing] = {}
    errors: dict[str, DatasetError] = {}
    for name in tables:
        try:
            table = manifest.table(path / name)
            listings[name] = rows.listing(table, NAME, options, root=path, preferred=folder)
        except DatasetError as error:  # such as a list of classes, which names no images
            errors[name] = error
    if not listings:
        raise errors[tables[0]]
    first, *others = listings.values()
    if any(listing.entries != first.entries for listing in others):
        raise DatasetError(
            f"{printable(str(path))}: {shortened(listings)} all list images of {printable(folder)}/ and do not agree.",
            hint=f"Give the path of the one to use, such as {shlex.quote(printable(str(path / next(iter(listings)))))}.",
        )
    notes = [f"{printable(name)} is not used: {error.what}" for name, error in errors.items()]
    return dataclasses.replace(first, warnings=(*first.warnings, *notes))


def _pairs(path: Path, options: ReadOptions) -> dict[str, list[str]]:
    """Return folder -> tables for tables named like split folders (train/ and train.csv or train_labels.csv).

    A table called labels.csv belongs to the training images.
    """
    top = Level.read(path)
    folders = [name for name in top.folders if names.split_of(name) and Level.read(path / name).images]
    folders += [name for name in top.folders if names.split_of(name) and name not in folders]
    pairs: dict[str, list[str]] = {}
    for file in top.others:
        stem = Path(file).stem
        split = names.table_split(stem) or ("train" if names.is_table_of_labels(stem) else "")
        folder = next((name for name in folders if names.split_of(name) == split and name not in options.exclude), None)
        if split and folder and manifest.is_table(path / file) and _has_labels(path / file, options):
            pairs.setdefault(folder, []).append(file)
    return pairs if any(names.split_of(folder) == "train" for folder in pairs) else {}


def _has_labels(file: Path, options: ReadOptions) -> bool:
    try:
        table = manifest.table(file)
    except DatasetError:
        return False
    return rows.states_labels(table, options) or options.label_column is not None
