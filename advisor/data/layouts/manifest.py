"""A table file that lists images: CSV, TSV, a label list, JSON Lines or Parquet; or a folder with one such file.

In: the path of the table, or of a folder that holds exactly one, or one per split (`train.csv`, `val.csv`). Out: a
`Listing`. Does NOT cover: tables that belong to a folder layout of their own (`metadata_folder`, `kaggle_flat`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Level
from advisor.data.tables import columns, delimited, json_lines, parquet, rows
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError
from advisor.records.data import GivenSplit, Listing, ReadOptions

NAME = "manifest"
LIST_SUFFIXES = (".txt", ".lst", ".list")
SUFFIXES = (*delimited.SUFFIXES, *json_lines.SUFFIXES, *parquet.SUFFIXES, *LIST_SUFFIXES)


def suffix_of(path: Path | str) -> str:
    """Return the suffix that tells how a table is read, that of the packed file for text packed as `.gz`."""
    suffix = names.suffix_of(str(path))
    inner = names.suffix_of(str(path)[: -len(".gz")]) if suffix == ".gz" else ""
    return inner if inner in SUFFIXES and inner not in parquet.SUFFIXES else suffix


def is_table(path: Path) -> bool:
    """Return True where a file is a table by its suffix (for plain text by its lines too)."""
    suffix = suffix_of(path)
    if not path.is_file() or suffix not in SUFFIXES:
        return False
    return suffix not in LIST_SUFFIXES or delimited.is_list(path) or _has_columns(path)


def table(path: Path) -> Table:
    """Parse a table file by its suffix. Raises DatasetError."""
    suffix = suffix_of(path)
    if suffix in json_lines.SUFFIXES:
        return json_lines.read(path)
    if suffix in parquet.SUFFIXES:
        return parquet.read(path)
    if suffix in LIST_SUFFIXES and delimited.is_list(path):
        return delimited.read_list(path)
    return delimited.read(path)


def tables(folder: Path) -> list[Path]:
    """Return the tables in a folder that have a path and a label column, sorted by name."""
    return [path for path in _all_tables(folder) if _has_columns(path)]


def labels(file: Path) -> set[str]:
    """Return the labels that a table gives to images that exist; none where it lists no images."""
    try:
        return _labels(table(file))
    except DatasetError:
        return set()


def _labels(content: Table) -> set[str]:
    try:
        return {entry.label for entry in rows.listing(content, NAME, ReadOptions()).entries}
    except DatasetError:
        return set()


def only_table(folder: Path) -> Path | None:
    """Return the one table in a folder that has a path and a label column; None where there is none or several."""
    chosen = _chosen(folder)
    return next(iter(chosen)) if len(chosen) == 1 else None


def fault(folder: Path) -> DatasetError | None:
    """Return why the one table in a folder cannot be read; None where there is none or several, or where it can."""
    every = _all_tables(folder)
    if len(every) == 1:
        try:
            rows.listing(table(every[0]), NAME, ReadOptions())
        except DatasetError as error:
            return error
    return None


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True for a table file, and for a folder with one table, or one per split, and no class folders."""
    if not path.is_dir():
        return is_table(path)
    if not _chosen(path):
        return False
    return len([name for name in Level.read(path).folders if name not in options.exclude]) < 2 or options.layout == NAME


def read(path: Path, options: ReadOptions) -> Listing:
    """List the files that the table names, or the tables of the splits. Raises DatasetError."""
    chosen: dict[Path, GivenSplit] = _chosen(path) if path.is_dir() else {path: ""}
    if not chosen:
        raise DatasetError(f"{path} holds no table with a path and a label column.", hint=columns.FORM)
    if len(chosen) == 1:
        return rows.listing(table(next(iter(chosen))), NAME, options)
    return merged([_of_split(file, split, options) for file, split in chosen.items()], path)


def merged(listings: Sequence[Listing], root: Path) -> Listing:
    """Return the listings of several tables of one root as one. Raises DatasetError for a file in two of them."""
    seen: Counter[str] = Counter(entry.path for listing in listings for entry in listing.entries)
    twice = [path for path, count in seen.items() if count > 1]
    if twice:
        raise DatasetError(
            f"{printable(str(root))}: {len(twice)} files are listed in the tables of several splits (first: "
            f"{printable(twice[0])}).",
            hint="List each image in one of them.",
        )
    return Listing(
        root=root,
        layout=listings[0].layout,
        entries=tuple(sorted((e for listing in listings for e in listing.entries), key=lambda entry: entry.path)),
        skipped=sum(listing.skipped for listing in listings),
        unreadable=tuple(u for listing in listings for u in listing.unreadable),
        warnings=tuple(dict.fromkeys(w for listing in listings for w in listing.warnings)),
        has_groups=any(listing.has_groups for listing in listings),
    )


def _of_split(file: Path, split: GivenSplit, options: ReadOptions) -> Listing:
    listing = rows.listing(table(file), NAME, options)
    entries = tuple(dataclasses.replace(entry, given=entry.given or split) for entry in listing.entries)
    note = f"{printable(file.name)} is read as the list of the {split} split."
    return dataclasses.replace(listing, entries=entries, warnings=(note, *listing.warnings))


def _all_tables(folder: Path) -> list[Path]:
    paths = [path for path in sorted(folder.iterdir()) if not names.is_hidden(path.name) and is_table(path)]
    return [
        path for path in paths if "submission" not in path.stem.lower()
    ]  # of a competition: made-up labels of the test


def _chosen(folder: Path) -> dict[Path, GivenSplit]:
    """Return the tables to read in a folder: one that stands for all, or one per split; none where it is not clear."""
    every = _all_tables(folder)
    with_labels = [path for path in every if _has_columns(path)]
    splits = {path: names.table_split(path.stem) for path in with_labels}
    if len(with_labels) == 1 and (len(every) == 1 or splits[with_labels[0]] == "train"):
        return {with_labels[0]: ""}
    is_split = all(splits.values()) and len(set(splits.values())) == len(splits) > 1 and "train" in splits.values()
    return splits if is_split else {}


def _has_columns(path: Path) -> bool:
    try:
        content = table(path)
    except DatasetError:
        return False
    if columns.has_path_and_label(content.names):
        return True
    return rows.states_labels(content) and bool(_labels(content))  # by what they hold: only where the images are there
