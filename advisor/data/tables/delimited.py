"""CSV, TSV and other delimited text -> `Table`: encoding, separator, blank first lines, `sep=;`.

Also label lists without a header: `path label` or `path<TAB>label` per line. Does not cover: what columns mean
(`columns`).
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.data.layouts import names
from advisor.data.tables import columns
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError

SUFFIXES = (".csv", ".tsv")
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_SEPARATORS = ",;\t|"


def read(path: Path) -> Table:
    """Parse a delimited table. Raises DatasetError with the line number where it is malformed."""
    shown = printable(str(path))
    text, notes = decoded(path)
    rows = _parsed(text, path, shown)
    header = next(((line, cells) for line, cells in rows if any(c.strip() for c in cells)), None)
    if header is None:
        raise DatasetError(f"{shown} is empty: no column 'path'.", hint=columns.FORM)
    body = [(line, cells) for line, cells in rows if line > header[0] and any(c.strip() for c in cells)]
    cells = [cell.strip() for cell in header[1]]
    if _is_data(cells):
        cells = ["path", *[f"column {n}" for n in range(2, len(cells) + 1)]]
        if len(cells) >= 2:
            cells[1] = "label"
        notes.append("the first line names no columns: read as path, label.")
        body = [header, *body]
    return Table(path=path, names=cells, rows=body, notes=tuple(notes))


def read_list(path: Path) -> Table:
    """Parse lines of `path label`, separated by the last run of spaces. Raises DatasetError."""
    shown = printable(str(path))
    text, notes = decoded(path)
    rows = []
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip() or content.lstrip().startswith("#"):
            continue
        cells = content.strip().rsplit(None, 1)
        if len(cells) != 2:
            raise DatasetError(f"{shown}, line {line}: expected `path label`.", hint=columns.FORM)
        rows.append((line, cells))
    return Table(path=path, names=("path", "label"), rows=rows, notes=tuple(notes))


def is_list(path: Path) -> bool:
    """Return True where the first lines of a text file are `path label` with image suffixes and no separator."""
    try:
        text, _ = decoded(path)
    except DatasetError:
        return False
    lines = [line.strip() for line in text.splitlines()[:20] if line.strip() and not line.lstrip().startswith("#")]
    parts = [line.rsplit(None, 1) for line in lines]
    return bool(parts) and all(
        len(p) == 2 and names.suffix_of(p[0]) in IMAGE_SUFFIXES and not set(p[0]) & set(",;|\t") for p in parts
    )


def decoded(path: Path) -> tuple[str, list[str]]:
    """Read a text file: UTF-8, UTF-16 by its mark or its zero bytes; other bytes stay as surrogate escapes, and a note."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {printable(str(path))}: {error.strerror}.", hint="Check the file.") from error
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "")
    if not encoding and content[:200].count(0) > len(content[:200]) // 4:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        return content.decode(encoding or "utf-8"), []
    except UnicodeDecodeError:
        text = content.decode("utf-8-sig", "surrogateescape")
        return text, [f"{printable(path.name)} is not UTF-8: bytes of another encoding are shown escaped (caf\\xe9)."]


def separator(text: str, path: Path) -> str:
    """Return the character that separates fields, by the suffix, `sep=`, or the first line that is not blank."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lower().startswith("sep=") and len(first) >= 5:
        return first[4]
    counts = {sign: first.count(sign) for sign in _SEPARATORS}
    best = max(counts, key=lambda sign: counts[sign])
    # A comma wins wherever it stands, except among tabs: labels hold semicolons and bars more often than commas.
    if counts[","] and not (counts["\t"] > counts[","]):
        return ","
    return best if counts[best] else ","


def _parsed(text: str, path: Path, shown: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator(text, path), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if not rows and cells and "".join(cells).lower().startswith("sep=") and len("".join(cells)) <= 5:
                continue
            rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise DatasetError(f"{shown}, line {reader.line_num}: {error}.", hint=columns.FORM) from error
    return rows


def _is_data(cells: list[str]) -> bool:
    """Return True where the first line is an image path and a label rather than names of columns."""
    return len(cells) >= 2 and os.path.splitext(cells[0])[1].lower() in IMAGE_SUFFIXES
