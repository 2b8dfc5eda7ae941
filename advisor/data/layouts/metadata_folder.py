"""The Hugging Face image folder: `metadata.csv`, `.jsonl` or `.parquet` beside the images, or one in every split folder.

The column `file_name` holds paths relative to the metadata file. Source: Hugging Face `datasets`, "ImageFolder". Class
folders without metadata are `class_folders` and `split_folders`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import manifest, names
from advisor.data.layouts.folder_walk import Level
from advisor.data.layouts.listing import shortened
from advisor.data.tables import columns, rows
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError
from advisor.records.data import GivenSplit, LabelledFile, Listing, ReadOptions

NAME = "metadata"
_FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet", "metadata.tsv")


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True where metadata with a label column lie in the folder, or in its split folders."""
    return path.is_dir() and bool(_tables(path, options))


def read(path: Path, options: ReadOptions) -> Listing:
    """List the files of every metadata table, with the splits of the folders that they lie in. Raises DatasetError."""
    tables = _tables(path, options)
    if not tables:
        raise DatasetError(
            f"{printable(str(path))} and its split folders hold no metadata with a label column.",
            hint=f"One of {shortened(_FILES)} is expected, with the columns file_name,label.",
        )
    listings = [
        _of_split(path, folder, split, rows.listing(table, NAME, options, root=table.root or table.path.parent))
        for folder, split, table in tables
    ]
    entries = [entry for listing in listings for entry in listing.entries]
    return Listing(
        root=path if len(listings) > 1 or listings[0].root.parent == path else listings[0].root,
        layout=NAME,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        skipped=sum(listing.skipped for listing in listings),
        unreadable=tuple(u for listing in listings for u in listing.unreadable),
        warnings=tuple(dict.fromkeys(w for listing in listings for w in listing.warnings)),
        has_groups=any(listing.has_groups for listing in listings),
    )


def _of_split(path: Path, folder: str, split: GivenSplit, listing: Listing) -> Listing:
    if not folder:
        return listing

    def moved(entry: LabelledFile) -> LabelledFile:
        return dataclasses.replace(entry, path=f"{folder}/{entry.path}", given=entry.given or split)

    unreadable = tuple(dataclasses.replace(u, path=f"{folder}/{u.path}") for u in listing.unreadable)
    return dataclasses.replace(
        listing, root=path, entries=tuple(moved(entry) for entry in listing.entries), unreadable=unreadable
    )


def _tables(path: Path, options: ReadOptions) -> Sequence[tuple[str, GivenSplit, Table]]:
    """Return (folder, split, table) of every metadata file that states labels; the one at the top counts alone."""
    top = _table(path, options)
    if top is not None:
        return [("", "", top)]
    splits = names.splits_of(name for name in Level.read(path).folders if name not in options.exclude)
    tables = [(folder, split, _table(path / folder, options)) for folder, split in sorted(splits.items())]
    used = [(folder, split, table) for folder, split, table in tables if table is not None]
    for folder, split, table in tables:
        if used and table is None and split == "train":
            _raise_fault(path / folder)
    return used


def _raise_fault(folder: Path) -> None:
    """Raise DatasetError for the training metadata that cannot be read beside those of other splits."""
    for name in _FILES:
        if (folder / name).is_file():
            columns_of = manifest.table(folder / name).names
            raise DatasetError(
                f"{printable(str(folder / name))} has no path and label column (columns: {shortened(columns_of, 12)}).",
                hint=columns.FORM,
            )


def _table(folder: Path, options: ReadOptions) -> Table | None:
    """Return the metadata of a folder that states labels. Raises DatasetError where two files of them do."""
    tables: list[Table] = []
    for name in _FILES:
        if (folder / name).is_file():
            with contextlib.suppress(DatasetError):
                table = manifest.table(folder / name)
                if options.label_column is not None or columns.has_path_and_label(table.names):
                    tables.append(table)
    if len(tables) > 1:
        raise DatasetError(
            f"{printable(str(folder))}: {shortened([table.path.name for table in tables])} both state labels.",
            hint="Keep one of them, or give the path of the one to use.",
        )
    return tables[0] if tables else None
