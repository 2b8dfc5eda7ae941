"""What `predict` classifies: files, folders, archives, patterns, URLs, lists of paths (CSV, TSV, TXT), standard input.

Standard input holds one image, or paths, one per line. Out: paths or bytes, in a stable order, each once. Does NOT cover:
reading images (`data.images`).
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.data import image_paths
from advisor.data.archives import archive
from advisor.data.layouts.folder_walk import is_image_start
from advisor.data.remote import data_sets, urls
from advisor.data.tables import columns, delimited
from advisor.errors import DatasetError, InputError
from advisor.records import Unreadable
from advisor.safe_text import printable

STANDARD_INPUT = "-"
LISTS = (".csv", ".tsv", ".txt")


def images(names: Sequence[str]) -> tuple[list[tuple[str, Any]], int, list[Unreadable]]:
    """Return (name to show, path or bytes) of every image, how many files were skipped in folders, and unlisted folders.

    Raises InputError where a name stands for nothing, or a list has no column of paths.
    """
    chosen: list[tuple[str, Any]] = []
    skipped = 0
    unlisted: list[Unreadable] = []
    for name in names:
        if name == STANDARD_INPUT:
            given = _standard_input()
            if isinstance(given, bytes):
                chosen.append(("standard input", given))
            else:
                among, left_out, refused = images([path for path in given if not _is_missing(path)])
                chosen, skipped, unlisted = chosen + among, skipped + left_out, unlisted + refused
                unlisted += [Unreadable(path=path, reason="file not found") for path in given if _is_missing(path)]
        elif urls.is_url(name):
            chosen += [(url, str(path)) for url, path in data_sets.images(urls.restored(name))]
        elif Path(name).suffix.lower() in LISTS and os.path.isfile(name):
            for path in paths_in(Path(name)):
                among, refused = _of_list(path)
                chosen, unlisted = chosen + among, unlisted + refused
        elif archive.is_archive(Path(name)):
            folder = archive.unpacked(Path(name))
            selection = image_paths.resolve([str(folder)])
            chosen += [(os.path.join(name, os.path.relpath(path, folder)), path) for path in selection.paths]
            skipped += selection.skipped
        else:
            selection = image_paths.resolve([name])
            chosen += [(path, path) for path in selection.paths]
            skipped += selection.skipped
            unlisted += selection.unlisted
    once: dict[str, tuple[str, Any]] = {}
    for shown, image in chosen:
        once.setdefault(image if isinstance(image, str) else shown, (shown, image))
    return list(once.values()), skipped, unlisted


def _of_list(path: str) -> tuple[list[tuple[str, Any]], list[Unreadable]]:
    """Return what a line of a list names: a file, which need not exist, or the images behind a URL, and why there are none."""
    if not urls.is_url(path):
        return [(path, path)], []
    try:
        return [(url, str(file)) for url, file in data_sets.images(urls.restored(path))], []
    except DatasetError as error:
        return [], [Unreadable(path=urls.shown(path), reason=error.what)]


def _is_missing(path: str) -> bool:
    """Return True for a path on standard input that names nothing and is no pattern."""
    return not urls.is_url(path) and not os.path.lexists(path) and not any(sign in path for sign in "*?[")


def _standard_input() -> bytes | list[str]:
    """Return the image on standard input, or the paths, separated by line ends or zero bytes. Raises InputError."""
    data = sys.stdin.buffer.read()
    if not data:
        raise InputError(
            "standard input is empty.", hint="Pipe an image into it: `tl-advise predict RUN - < photo.jpg`."
        )
    if is_image_start(data[:132]):
        return data
    paths = [path for path in _separated(data.removeprefix(codecs.BOM_UTF8)) if path and path != STANDARD_INPUT]
    try:
        are_paths = any(not _is_missing(path) for path in paths)
    except ValueError:
        are_paths = False
    if not are_paths and paths and all(path.isprintable() for path in paths):
        raise InputError(
            f"standard input is neither an image nor a list of existing files (first line: {printable(paths[0])[:80]}).",
            hint="Pipe an image into it, or paths, one per line.",
        )
    return paths if are_paths else data


def _separated(data: bytes) -> list[str]:
    """Return names as `find -print0` writes them where there are zero bytes, else one per line; a name is never changed."""
    if b"\0" in data:
        return os.fsdecode(data).split("\0")
    return [line.removesuffix("\r") for line in os.fsdecode(data).split("\n")]


def paths_in(file: Path) -> list[str]:
    """Return the paths in a list, relative ones below its folder: one per line, or the path column of a table.

    Raises InputError where there is no such column, or no path.
    """
    rows = _rows(file)
    if not rows:
        raise InputError(f"{file}: the list is empty.", hint="Write one path per line, or a column called path.")
    head = [columns.normalised(cell) for cell in rows[0]]
    column = next((head.index(name) for name in columns.PATH if name in head), None)
    if column is None and len(head) > 1:
        usual = ", ".join(columns.PATH[:8])
        raise InputError(f"{file}: there is no column called path.", hint=f"Name it one of {usual}.")
    body = rows if column is None else rows[1:]
    cells = [row[column or 0].strip() for row in body if len(row) > (column or 0)]
    return [_beside(file, path) for path in cells if path]


def _rows(file: Path) -> list[Sequence[str]]:
    """Return the cells of a list, without empty rows: the lines of one path each, or a table as data sets have them.

    Raises InputError naming the line that is no row of a table.
    """
    text, _ = delimited.decoded(file)
    first = next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), "")
    if file.suffix.lower() != ".txt" and set(first) & set(delimited.SEPARATORS):
        table = delimited.read(file)
        return [table.names, *(cells for _, cells in table.rows)]
    if file.suffix.lower() == ".txt" and delimited.is_list(file) and not os.path.exists(_beside(file, first.strip())):
        return [cells[:1] for _, cells in delimited.read_list(file).rows]
    reader = csv.reader(io.StringIO(text), delimiter="\0")  # one path per line, commas included
    try:
        return [row for row in reader if any(row)]
    except csv.Error as error:
        raise InputError(
            f"{printable(str(file))}, line {reader.line_num}: {error}.",
            hint="Write one path per line, or a column called path.",
        ) from error


def _beside(file: Path, path: str) -> str:
    """Return a path of a list: relative to its folder, or to the current folder where only that file exists."""
    if urls.is_url(path):
        return path
    beside = str(file.parent / path)
    if "\\" in path and not os.path.lexists(beside) and not os.path.lexists(path):
        return _beside(file, path.replace("\\", "/"))  # as Windows writes it
    return path if os.path.exists(path) and not os.path.exists(beside) else beside
