"""CSV, TSV and other delimited text -> `Table`: encoding, separator, blank first lines, `sep=;`.

Also label lists without a header: `path label` or `path<TAB>label` per line. Does NOT cover: what columns mean
(`columns`).
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path

from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.data.layouts import names
from advisor.data.tables import columns
from advisor.data.tables.rows import Table
from advisor.errors import DatasetError, one_line

SUFFIXES = (".csv", ".tsv")
_BOMS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
SEPARATORS = ",;\t|"  # of cells, beside a space where a line has none of them
_MOST_BYTES = 1 << 30  # of a table that is unpacked


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
        body = [header, *body]
        cells = _named(cells, [content for _, content in body])
        notes.append(f"the first line names no columns: read as {', '.join(cells)}.")
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
    """Read a text file: UTF-8, UTF-16 by its mark or its zero bytes, Windows-1252; and notes about it.

    Bytes that make no text in any of these stay as surrogate escapes. A file called `.gz` is unpacked.
    """
    content = _content(path)
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "")
    if not encoding and content[:1] and content[:200].count(0) > len(content[:200]) // 2:
        encoding = "utf-32-le" if content[:1] != b"\0" else "utf-32-be"
    elif not encoding and content[:200].count(0) > len(content[:200]) // 4:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        return content.decode(encoding or "utf-8"), []
    except UnicodeDecodeError:
        western = _western(content)
    if western:
        return western, [f"{printable(path.name)} is not UTF-8: read as Windows-1252 (Western European)."]
    text = content.decode("utf-8-sig", "surrogateescape")
    return text, [f"{printable(path.name)} is not UTF-8: bytes of another encoding are shown escaped (caf\\xe9)."]


def _content(path: Path) -> bytes:
    try:
        if path.suffix.lower() != ".gz":
            return path.read_bytes()
        with gzip.open(path) as stream:
            content = stream.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise DatasetError(f"cannot read {printable(str(path))}: {reason}.", hint="Check the file.") from error
    if len(content) > _MOST_BYTES:
        raise DatasetError(f"{printable(str(path))} unpacks to more than 1 GiB.", hint="Unpack it yourself.")
    return content


def _western(content: bytes) -> str:
    """Return bytes as Windows-1252 where all beyond ASCII are letters between letters or usual signs; else ""."""
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    beyond = {sign for sign in text if ord(sign) > 127}
    return (
        text if all((unicodedata.category(s)[0] == "L" and s not in "ªºµƒˆ") or s in "’‘“”–—°€" for s in beyond) else ""
    )


def separator(text: str, path: Path) -> str:
    """Return the character that separates fields, by `sep=`, the suffix, or the first line that is not blank."""
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    first = lines[0] if lines else ""
    if path.suffix.lower() == ".tsv" and ("\t" in first or not set(first) & set(SEPARATORS)):
        return "\t"
    if first.lower().startswith("sep=") and len(first) >= 5:
        return first[4]
    counts = {sign: first.count(sign) for sign in SEPARATORS}
    best = max(counts, key=lambda sign: counts[sign])
    # A comma wins wherever it stands, except among tabs: labels hold semicolons and bars more often than commas.
    if counts[","] and not (counts["\t"] > counts[","]):
        return ","
    if counts[best]:
        return best
    words = [line.split(" ") for line in lines]
    in_columns = len(lines) > 1 and len(words[0]) > 1 and all(len(line) == len(words[0]) for line in words)
    return " " if in_columns else ","


def _parsed(text: str, path: Path, shown: str) -> list[tuple[int, list[str]]]:
    text = _without_comments(text)
    quote = "'" if text.lstrip().startswith("'") else '"'
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator(text, path),
        quotechar=quote,
        skipinitialspace=True,
        strict=True,
    )
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if not rows and cells and "".join(cells).lower().startswith("sep=") and len("".join(cells)) <= 5:
                continue
            rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise DatasetError(f"{shown}, line {reader.line_num}: {error}.", hint=columns.FORM) from error
    return rows


def _without_comments(text: str) -> str:
    """Empty the lines before the first row that begin with # and hold no separator; a # before names of columns goes."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        plain = line.strip()
        if plain.startswith("#") and not set(plain) & set(SEPARATORS):
            lines[number] = ""
        elif plain.startswith("#"):
            lines[number] = line.replace("#", "", 1)
            break
        elif plain:
            break
    return "\n".join(lines)


def _is_data(cells: list[str]) -> bool:
    """Return True where the first line holds the path of an image and a label rather than names of columns."""
    return len(cells) >= 2 and sum(_is_image_path(cell) for cell in cells) == 1


def _is_image_path(cell: str) -> bool:
    return os.path.splitext(cell)[1].lower() in IMAGE_SUFFIXES


def _named(first: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return names for the columns of a table without any: path, label, a split where all cells state one, numbers."""
    cells = [[row[n].strip() for row in rows if n < len(row)] for n in range(len(first))]
    path = next(n for n, cell in enumerate(first) if _is_image_path(cell))
    splits = [n for n, column in enumerate(cells) if n != path and all(names.split_of(cell) for cell in column)]
    indices = [n for n, column in enumerate(cells) if n < path and column == _counted(column)]
    others = [n for n in range(len(first)) if n not in (path, *splits, *indices)]
    roles = {path: "path", **dict.fromkeys(indices[:1], "index"), **dict.fromkeys(splits[:1], "split")}
    roles |= dict.fromkeys(others[:1], "label")
    return [roles.get(n, f"column {n + 1}") for n in range(len(first))]


def _counted(column: Sequence[str]) -> list[str]:
    """Return the numbers from the first cell on, as many as there are cells."""
    start = int(column[0]) if column and column[0].isdecimal() and column[0].isascii() else 0
    return [str(start + n) for n in range(len(column))]
