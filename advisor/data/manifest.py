"""A CSV or TSV manifest -> labelled entries: `path,label[,split][,group]`, paths relative to the manifest.

Strict where a mistake would change what is learned (columns, labels, splits, contradicting rows: one line with the line
number); files that are missing are set aside and listed. Not covered: whether a file is an image (`dataset`).
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from advisor.data.folder_layouts import MANIFEST_SUFFIXES, SPLIT_NAMES, Entry, Listing, is_hidden, label_name
from advisor.data.images import printable
from advisor.errors import DatasetError
from advisor.records import Unreadable

COLUMNS = ("path", "label", "split", "group")
_FORM = "The first line must be path,label[,split][,group]; paths are relative to the manifest."


def is_manifest(path: Path) -> bool:
    """Tell by its suffix whether a file is a manifest."""
    return path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file()


def lone_manifest(folder: Path) -> Path | None:
    """Return the one manifest that lies in `folder`, where its first line names a path and a label column."""
    found = [p for p in sorted(folder.iterdir()) if not is_hidden(p.name) and is_manifest(p)]
    if len(found) != 1:
        return None
    try:
        names = _header(_rows(found[0]))
    except DatasetError:
        return None
    return found[0] if {"path", "label"} <= set(names) else None


def read(path: Path) -> Listing:
    """List the files that the manifest names.

    Raises DatasetError with the line number for a missing column, an empty label, an unknown split, or a path that
    stands twice with different facts, and where not one of the files exists.
    """
    shown = printable(str(path))
    rows = _rows(path)
    names = _header(rows)
    missing = [name for name in ("path", "label") if name not in names]
    if missing:
        raise DatasetError(f"{shown}: no column {missing[0]!r}{_nearest(missing[0], names)}.", hint=_FORM)
    table = _Table(path.parent, shown, names)
    for line, fields in rows:
        if any(field.strip() for field in fields):
            table.add(fields, line)
    return table.listing()


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    shown = printable(str(path))
    try:
        # utf-8-sig: spreadsheet programs put a byte-order mark first. Surrogates keep file names of other encodings.
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DatasetError(f"cannot read {shown}: {error.strerror}.") from error
    first = text.split("\n", 1)[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" or ("\t" in first and "," not in first) else ","
    if delimiter == "," and "," not in first and ";" in first:
        delimiter = ";"  # what spreadsheet programs write where the comma is the decimal sign
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DatasetError(f"{shown}, line {reader.line_num}: {error}.", hint=_FORM) from error
        if fields is None:
            return
        yield reader.line_num, fields


def _header(rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    return [name.strip().lower() for name in next(rows, (0, []))[1]]


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    found = ", ".join(printable(n) for n in names if n) or "nothing"
    return f" (found: {found}; rename {printable(close[0])!r}?)" if close else f" (found: {found})"


@dataclass(frozen=True, slots=True)
class _Row:
    entry: Entry
    line: int


class _Table:
    """The rows read so far, by normalised path."""

    def __init__(self, root: Path, shown: str, names: list[str]) -> None:
        self.root, self.shown = root, shown
        self.at = {name: names.index(name) for name in COLUMNS if name in names}
        self.width = len(names)
        self.rows: dict[str, _Row] = {}
        self.missing: list[Unreadable] = []
        self.repeated = 0

    def add(self, fields: list[str], line: int) -> None:
        if len(fields) != self.width:
            raise self.wrong(line, f"{len(fields)} fields where the first line has {self.width}")
        cells = {name: fields[index].strip() for name, index in self.at.items()}
        if not cells["path"]:
            raise self.wrong(line, "no path")
        if not cells["label"]:
            raise self.wrong(line, f"no label for {printable(cells['path'])}")
        given = cells.get("split", "").lower()
        if given and given not in SPLIT_NAMES:
            raise self.wrong(line, f"unknown split {printable(cells['split'])!r} (expected train, val or test)")
        path = self.relative(cells["path"], line)
        entry = Entry(
            path=path, label=label_name(cells["label"]), given=SPLIT_NAMES.get(given, ""), group=cells.get("group", "")
        )
        earlier = self.rows.get(path)
        if earlier is None:
            self.rows[path] = _Row(entry, line)
        elif earlier.entry == entry:
            self.repeated += 1
        else:
            raise self.wrong(line, f"{printable(path)} stands with other facts on line {earlier.line}")

    def relative(self, text: str, line: int) -> str:
        path = text if os.path.lexists(self.root / text) else text.replace("\\", "/")
        if os.path.isabs(path):
            root = str(self.root.resolve()) + "/"
            if not path.startswith(root):
                raise self.wrong(line, f"absolute path {printable(path)} outside the manifest's folder")
            path = path[len(root) :]
        return posixpath.normpath(path)

    def wrong(self, line: int, what: str) -> DatasetError:
        return DatasetError(f"{self.shown}, line {line}: {what}.", hint=_FORM)

    def listing(self) -> Listing:
        if not self.rows:
            raise DatasetError(f"{self.shown} lists no images.", hint=_FORM)
        present = {path: row.entry for path, row in self.rows.items() if os.path.lexists(self.root / path)}
        absent = tuple(
            Unreadable(path=path, reason=f"file not found (line {row.line} of the manifest)")
            for path, row in self.rows.items()
            if path not in present
        )
        if not present:
            raise DatasetError(
                f"{self.shown}: none of the {len(self.rows)} files exists under {printable(str(self.root))}.",
                hint="Paths are relative to the manifest's folder.",
            )
        warnings = [f"{self.repeated} rows of the manifest are repeated: read once."] if self.repeated else []
        return Listing(
            root=self.root,
            layout="manifest",
            entries=tuple(sorted(present.values(), key=lambda entry: entry.path)),
            unreadable=tuple(sorted(absent, key=lambda u: u.path)),
            warnings=tuple(warnings),
            has_groups=any(entry.group for entry in present.values()),
        )
