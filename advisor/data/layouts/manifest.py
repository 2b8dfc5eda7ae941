"""A table file that lists images: CSV, TSV, a label list, JSON Lines or Parquet; or a folder with one such file.

In: the path of the table, or of a folder that holds exactly one. Out: a `Listing`. Does not cover: tables that belong to
a folder layout of their own (`metadata_folder`, `kaggle_flat`).
"""

from __future__ import annotations

from pathlib import Path

from advisor.data.layouts import names
from advisor.data.layouts.folder_walk import Level
from advisor.data.tables import columns, delimited, json_lines, parquet, rows
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError
from advisor.records.data import Listing, ReadOptions

NAME = "manifest"
LIST_SUFFIXES = (".txt", ".lst", ".list")
SUFFIXES = (*delimited.SUFFIXES, *json_lines.SUFFIXES, *parquet.SUFFIXES, *LIST_SUFFIXES)


def is_table(path: Path) -> bool:
    """Return True where a file is a table by its suffix (for plain text by its lines too)."""
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        return False
    return path.suffix.lower() not in LIST_SUFFIXES or delimited.is_list(path) or _has_columns(path)


def table(path: Path) -> Table:
    """Parse a table file by its suffix. Raises DatasetError."""
    suffix = path.suffix.lower()
    if suffix in json_lines.SUFFIXES:
        return json_lines.read(path)
    if suffix in parquet.SUFFIXES:
        return parquet.read(path)
    if suffix in LIST_SUFFIXES and delimited.is_list(path):
        return delimited.read_list(path)
    return delimited.read(path)


def only_table(folder: Path) -> Path | None:
    """Return the one table in a folder that has a path and a label column; None where there is none or several."""
    tables = [p for p in sorted(folder.iterdir()) if not names.is_hidden(p.name) and is_table(p)]
    return tables[0] if len(tables) == 1 and _has_columns(tables[0]) else None


def recognise(path: Path, options: ReadOptions) -> bool:
    """Return True for a table file, and for a folder with one table and no class folders."""
    if not path.is_dir():
        return is_table(path)
    if only_table(path) is None:
        return False
    return len([name for name in Level.read(path).folders if name not in options.exclude]) < 2 or options.layout == NAME


def read(path: Path, options: ReadOptions) -> Listing:
    """List the files that the table names. Raises DatasetError."""
    file = only_table(path) if path.is_dir() else path
    if file is None:
        raise DatasetError(f"{path} holds no table with a path and a label column.", hint=columns.FORM)
    return rows.listing(table(file), NAME, options)


def _has_columns(path: Path) -> bool:
    try:
        content = table(path)
    except DatasetError:
        return False
    return columns.has_path_and_label(content.names)
