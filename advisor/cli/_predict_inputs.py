"""What `predict` classifies: files, folders, patterns, URLs, lists of paths (CSV, TSV, TXT), or one image on standard input.

Out: paths or bytes, in a stable order, each once. Does NOT cover: reading images (`data.images`).
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.data import image_paths
from advisor.data.remote import data_sets, urls
from advisor.errors import InputError

STANDARD_INPUT = "-"
LISTS = (".csv", ".tsv", ".txt")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")


def images(names: Sequence[str]) -> tuple[list[tuple[str, Any]], int]:
    """Return (name to show, path or bytes) of every image, and how many files were skipped in folders.

    Raises InputError where a name stands for nothing, or a list has no column of paths.
    """
    chosen: list[tuple[str, Any]] = []
    skipped = 0
    for name in names:
        if name == STANDARD_INPUT:
            chosen.append(("standard input", _standard_input()))
        elif urls.is_url(name):
            chosen += [(url, str(path)) for url, path in data_sets.images(urls.restored(name))]
        elif Path(name).suffix.lower() in LISTS and Path(name).is_file():
            chosen += [(path, path) for path in paths_in(Path(name))]
        else:
            selection = image_paths.resolve([name])
            chosen += [(path, path) for path in selection.paths]
            skipped += selection.skipped
    return list({shown: (shown, image) for shown, image in chosen}.values()), skipped


def _standard_input() -> bytes:
    data = sys.stdin.buffer.read()
    if not data:
        raise InputError(
            "standard input is empty.", hint="Pipe an image into it: `tl-advise predict RUN - < photo.jpg`."
        )
    return data


def paths_in(file: Path) -> list[str]:
    """Return the paths in a list, relative ones below its folder: one per line, or the path column of a table.

    Raises InputError where there is no such column, or no path.
    """
    text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=_delimiter(file, text)) if any(row)]
    if not rows:
        raise InputError(f"{file}: the list is empty.", hint="Write one path per line, or a column called path.")
    head = [cell.strip().lower() for cell in rows[0]]
    column = next((head.index(name) for name in PATH_COLUMNS if name in head), None)
    if column is None and len(head) > 1:
        raise InputError(f"{file}: there is no column called path.", hint=f"Name it one of {', '.join(PATH_COLUMNS)}.")
    body = rows if column is None else rows[1:]
    cells = [row[column or 0].strip() for row in body if len(row) > (column or 0)]
    return [path if Path(path).is_absolute() else str(file.parent / path) for path in cells if path]


def _delimiter(file: Path, text: str) -> str:
    if file.suffix.lower() == ".txt":
        return "\0"  # one path per line, commas included
    first = text.split("\n", 1)[0]
    return max("\t;,", key=first.count) if any(sign in first for sign in "\t;,") else ","
