"""Rows of a table -> labelled entries.

Strict where a mistake would change what is learned (unknown splits, contradicting rows: one line with the line number);
rows without a label and files that are missing are left out and counted. Does NOT cover: parsing (`delimited`,
`json_lines`, `parquet`), whether a file is an image (`dataset`).
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.data.images import IMAGE_SUFFIXES, printable
from advisor.data.layouts import names
from advisor.data.layouts.listing import label_name, shortened
from advisor.data.tables import columns
from advisor.data.tables.paths import PathFinder, root_of
from advisor.errors import DatasetError
from advisor.records import Unreadable
from advisor.records.data import GivenSplit, LabelledFile, Listing, ReadOptions

# What tables write where there is no value (pandas, R, Excel). "NA" and "None" are labels as well: a warning names them.
_NO_LABEL = frozenset({"", "nan", "null", "n/a", "<na>", "#n/a"})
_ONES, _ZEROS = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false"})
# Share of rows without any class, up to which columns of 0 and 1 are a column per class in any case.
_FEW_UNMARKED = 0.1
_SAMPLE = 200  # rows whose cells tell what a column holds
_TRUE, _FALSE = {"1", "true", "yes", "1.0", "t"}, {"0", "false", "no", "0.0", "f", ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table as text: column names, and rows as (line number, cells). `notes` are about the parsing.

    `root` is the folder of its files where that is not the table's own; `label_column` the one that the file itself
    says to hold classes.
    """

    path: Path
    names: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]
    notes: tuple[str, ...] = ()
    root: Path | None = None
    label_column: str | None = None


def listing(
    table: Table, layout: str, options: ReadOptions, *, root: Path | None = None, preferred: str = ""
) -> Listing:
    """List the files that a table names, below `root` (default: --root, or the table's folder).

    `preferred` is the folder to look in where the paths are relative to one of several folders below the root.

    Raises DatasetError with the line number for an unknown split, a path outside of the root or one that stands twice
    with different labels, and where no row has a label or none of the files exists.
    """
    if not table.rows:
        raise DatasetError(f"{printable(str(table.path))} lists no images.", hint=columns.FORM)
    reader = _Reader(table, options, root or table.root or root_of(table.path, options.root))
    for line, cells in table.rows:
        reader.add(line, cells)
    return reader.listing(layout, preferred or names.table_split(table.path.stem))


@dataclass(frozen=True, slots=True)
class _Row:
    path: str
    label: str
    given: GivenSplit
    group: str
    line: int

    def facts(self) -> tuple[str, str, str]:
        return self.label, self.given, self.group


class _Reader:
    """The rows read so far, by relative path."""

    def __init__(self, table: Table, options: ReadOptions, root: Path) -> None:
        self.table, self.root = table, root
        self.shown = printable(str(table.path))
        self.columns = chosen_columns(table, options, self.shown)
        self.finder = PathFinder(root, table.path.parent)
        self.rows: dict[str, _Row] = {}
        self.repeated = 0
        self.unlabelled: list[tuple[int, GivenSplit]] = []
        self.pathless: list[int] = []

    def add(self, line: int, cells: Sequence[str]) -> None:
        width = len(self.table.names)
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]  # spreadsheets end lines with empty fields
        if len(cells) != width:
            raise self.wrong(line, f"{len(cells)} fields where the first line has {len(self.table.names)}")
        text = cells[self.columns.path].strip()
        if not text:
            self.pathless.append(line)
            return
        split = self.split(line, cells)
        label = self.label(line, cells)
        if label.lower() in _NO_LABEL:
            self.unlabelled.append((line, split))
            return
        path = self.path(line, text)
        if "\0" in path + label:
            raise self.wrong(line, "a NUL byte in a path or label")
        group = "" if self.columns.group is None else cells[self.columns.group].strip()
        self.collect(self.rows, path, _Row(path, label_name(label), split, group, line))

    def collect(self, rows: dict[str, _Row], image: str, row: _Row) -> None:
        """Add a row unless an image has an equal one. Raises DatasetError where it has one that says something else."""
        earlier = rows.setdefault(image, row)
        if earlier.facts() != row.facts():
            spelling = "" if earlier.path == row.path else f" (as {printable(earlier.path)})"
            raise DatasetError(
                f"{self.shown}, line {row.line}: {printable(row.path)} has other values on line {earlier.line}{spelling}.",
                hint="An image has one class, split and group: keep one of the rows.",
            )
        self.repeated += earlier is not row

    def path(self, line: int, text: str) -> str:
        """Return the path relative to the root. Raises DatasetError for URLs and for paths outside of the root."""
        if _is_url(text):
            raise DatasetError(
                f"{self.shown}, line {line}: {printable(text)} is a URL; images are not downloaded.",
                hint="Download them, and list the files by their paths.",
            )
        path = self.finder.relative(text)
        if path is not None:
            return path
        end = self.finder.below(text)
        hint = "Give the folder that holds all images: --root DIR; the paths are then relative to it."
        if end:
            hint = f"There is {printable(end)}: remove {printable(text.strip()[: -len(end)])} from the table's paths."
        raise DatasetError(f"{self.shown}, line {line}: {self.finder.outside(text)}.", hint=hint)

    def split(self, line: int, cells: Sequence[str]) -> GivenSplit:
        if self.columns.split is None:
            return ""
        text = cells[self.columns.split].strip()
        name = columns.normalised(self.table.names[self.columns.split])
        if name.startswith("is_") and text.lower() in _TRUE | _FALSE:
            return (names.split_of(name.removeprefix("is_")) or "val") if text.lower() in _TRUE else "train"
        split = names.split_of(text)
        if text and not split:
            raise self.wrong(line, f"unknown split {printable(text)!r} (expected train, val or test)")
        return split

    def label(self, line: int, cells: Sequence[str]) -> str:
        if self.columns.label is not None:
            return cells[self.columns.label].strip()
        chosen = [p for p in self.columns.one_hot if cells[p].strip().lower() in _ONES]
        if len(chosen) > 1:
            raise DatasetError(
                f"{self.shown}, line {line}: {len(chosen)} classes at once "
                f"({shortened([self.table.names[p] for p in chosen])}): multi-label data are not supported.",
                hint="Give one class per image in a label column.",
            )
        return self.table.names[chosen[0]].strip() if chosen else ""

    def wrong(self, line: int, what: str) -> DatasetError:
        return DatasetError(f"{self.shown}, line {line}: {what}.", hint=columns.FORM)

    def listing(self, layout: str, preferred: str) -> Listing:
        if not self.rows:
            raise DatasetError(f"{self.shown}: no row has a path and a label.", hint=columns.FORM)
        self.finder.choose_prefix(self.rows, preferred)
        files = {path: self.finder.file(path) for path in self.rows}
        by_file: dict[str, _Row] = {}
        for path, row in self.rows.items():
            if (file := files[path]) is not None:  # two spellings may name one file, with its suffix and without
                self.collect(by_file, file, row)
        if not by_file:
            raise self.nothing_there()
        entries = [
            LabelledFile(path=file, label=row.label, given=row.given, group=row.group) for file, row in by_file.items()
        ]
        absent = [
            Unreadable(path=path, reason=f"file not found (line {row.line} of the manifest)")
            for path, row in self.rows.items()
            if files[path] is None
        ]
        return Listing(
            root=self.root,
            layout=layout,
            entries=tuple(sorted(entries, key=lambda entry: entry.path)),
            skipped=len(self.unlabelled) + len(self.pathless),
            unreadable=tuple(sorted(absent, key=lambda u: u.path)),
            warnings=self.warnings(),
            has_groups=any(entry.group for entry in entries),
        )

    def warnings(self) -> tuple[str, ...]:
        notes = [*self.table.notes, *self.columns.notes]
        if self.finder.parts:
            notes.append(f"the files of the table lie in {shortened(self.finder.parts)}.")
        if self.finder.prefix:
            notes.append(f"the paths are relative to {printable(self.finder.prefix)}/.")
        if self.repeated:
            rows = "1 row of the table is" if self.repeated == 1 else f"{self.repeated} rows of the table are"
            notes.append(f"{rows} repeated: read once.")
        if self.unlabelled:
            line, _ = self.unlabelled[0]
            within = " of the test split" if all(split == "test" for _, split in self.unlabelled) else ""
            left_out = _left_out(len(self.unlabelled), f"{within} without a label", line)
            notes.append(f"{left_out}; `tl-advise predict` classifies such images.")
        if self.pathless:
            notes.append(f"{_left_out(len(self.pathless), ' without a path', self.pathless[0])}.")
        return tuple(notes)

    def nothing_there(self) -> DatasetError:
        first = next(iter(self.rows))
        similar, end = self.finder.similar(first), self.finder.below(first)
        if similar:
            hint = f"There is {printable(similar)} where the table says {printable(first)}: correct the table's names."
        elif end:
            hint = f"There is {printable(end)}: remove {printable(first[: -len(end)])} from the table's paths."
        else:
            hint = f"The first is {printable(first)}. Paths are relative to the table's folder, or give --root DIR."
        return DatasetError(
            f"{self.shown}: none of the {len(self.rows)} files exists under {printable(str(self.root))}.", hint=hint
        )


def _left_out(count: int, which: str, line: int) -> str:
    rows = f"1 row{which} is" if count == 1 else f"{count} rows{which} are"
    return f"{rows} left out ({'first: ' * (count > 1)}line {line})"


def _is_url(text: str) -> bool:
    return re.match(r"\s*(https?|ftp|s3|gs|hf|az|abfss?)://", text, re.IGNORECASE) is not None


def chosen_columns(table: Table, options: ReadOptions, shown: str) -> columns.Columns:
    """Choose the columns of a table by the options, their names and their cells. Raises DatasetError."""
    if options.label_column is None and table.label_column is not None:
        options = dataclasses.replace(options, label_column=table.label_column)
    chosen = columns.resolve(table.names, one_hot_columns(table), _image_columns(table), options, shown)
    if chosen.one_hot and (other := _other_label(table, chosen)) is not None:
        marks, name = shortened([table.names[p] for p in chosen.one_hot]), printable(table.names[other])
        raise DatasetError(
            f"{shown}: are the classes in the column {name!r}, or a column each ({marks})? Many rows have none of these.",
            hint=f"Name the column: --label-column {shlex.quote(name)}. Or remove it from the table.",
        )
    return chosen


def _other_label(table: Table, chosen: columns.Columns) -> int | None:
    """Return a column of words that repeat where many rows have none of the classes with columns: it may be the label."""
    marked = sum(
        any(cells[p].strip().lower() in _ONES for p in chosen.one_hot if p < len(cells)) for _, cells in table.rows
    )
    if len(table.rows) - marked <= _FEW_UNMARKED * len(table.rows):
        return None
    for position in columns.free(table.names, chosen):
        words = [text for _, cells in table.rows if position < len(cells) and (text := cells[position].strip())]
        if 1 < len(set(words)) <= len(words) / 2 and not any(word[0].isdigit() or word[0] in "+-." for word in words):
            return position
    return None


def states_labels(table: Table, options: ReadOptions | None = None) -> bool:
    """Return True where a path and a label column of a table are known by the options, their names or their cells."""
    try:
        chosen_columns(table, options or ReadOptions(), "")
    except DatasetError:
        return False
    return True


def _image_columns(table: Table) -> list[int]:
    """Return the positions of the columns whose first cells all end like the name of an image."""
    sample = [cells for _, cells in table.rows[:_SAMPLE]]
    return [
        position
        for position in range(len(table.names))
        if sample
        and all(names.suffix_of(row[position].strip()) in IMAGE_SUFFIXES for row in sample if position < len(row))
    ]


def one_hot_columns(table: Table) -> list[int]:
    """Return the positions of the columns whose cells are all 0 or 1 (or false and true), both of them present."""
    positions = []
    for position in range(len(table.names)):
        cells = {row[position].strip().lower() for _, row in table.rows if position < len(row)}
        if cells <= _ONES | _ZEROS | {""} and cells & _ONES and cells & _ZEROS:
            positions.append(position)
    return positions
