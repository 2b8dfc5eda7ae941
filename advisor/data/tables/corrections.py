"""A table of corrected labels (path,label) -> the data set with them: what `--relabel FILE` does.

Rows whose label is the present one change nothing, so that an edited `suspects.csv` can be given as it is; other columns
are not read. The split stays the one of the original labels, so that scores before and after are of the same test images.
A test image keeps its label unless its row says `test` in a column `split`. Does NOT cover: finding wrong labels (`insight`).
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.data import dataset as datasets
from advisor.data.images import printable
from advisor.data.layouts.listing import label_name, shortened
from advisor.data.remote import urls
from advisor.data.tables import columns, delimited
from advisor.data.tables.rows import Table
from advisor.errors import InputError, RecipeError
from advisor.records import Dataset, Item
from advisor.records.data import LabelChange, ReadOptions, Relabelled
from advisor.records.recipe import Recipe
from advisor.runtime.atomic_file import write_atomically
from advisor.safe_text import spreadsheet_cell

COPY = "relabelled.csv"  # in a run directory: what was corrected there
FORM = "Give a CSV or TSV file with the columns path,label; paths as in the data set, labels among its classes."


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """One row of the table: its line number and cells."""

    line: int
    path: str
    label: str
    split: str


def apply(dataset: Dataset, file: str | Path, *, name: str = "") -> Dataset:
    """Return the data set with the labels of `file`, and `relabelled` saying what that changed, under `name` or the file's.

    Raises InputError with the line number for a path that is no image of the data set, a label that is no class, two
    labels for one path, and a test image whose row does not say that it is one.
    """
    rows = _rows(Path(file))
    by_path = {**{spreadsheet_cell(item.path): item for item in dataset.items}, **{i.path: i for i in dataset.items}}
    number = {name: index for index, name in enumerate(dataset.classes)}
    number = {**{spreadsheet_cell(name): index for name, index in number.items()}, **number}
    unreadable = {file.path for file in dataset.unreadable}
    labels: dict[str, int] = {}
    for row in rows:
        where = f"{printable(str(file))}, line {row.line}"
        if row.path in unreadable:
            continue
        item, label = _item(row, by_path, where), _label(row, number, dataset.classes, where)
        if labels.setdefault(item.path, label) != label:
            raise InputError(f"{where}: {printable(item.path)} has another label in an earlier row.", hint=FORM)
        _check_split(row, item, label, where)
    return _changed(dataset, labels, name or str(file))


def for_run(dataset: Dataset, file: str | None, folder: Path, *, resumed: bool) -> Dataset:
    """Return the data set with the labels of `file` (None: as it is), and copy what differs into a run directory.

    A run that is `resumed` takes its own copy: the person may have gone on editing the file.
    """
    if file is None:
        return dataset
    copied = folder / COPY
    corrected = apply(dataset, copied if resumed and copied.exists() else file, name=file)
    write(dataset, corrected, copied)
    return corrected


def for_recipe(data_set: Dataset, recipe: Recipe, path: Path, relabel: Path | None) -> Dataset:
    """Return the data set with the recipe's corrected labels. Raises RecipeError if they are not available, or are others.

    On other data the recipe's corrections say nothing: there only those of `relabel` are made.
    """
    before = recipe.data.relabelled
    if before is None or data_set.fingerprint != recipe.data.fingerprint:
        return apply(data_set, relabel) if relabel is not None else data_set
    file = relabel or (path if path.is_dir() else path.parent) / COPY
    many = f"the recipe was made with {before.images} corrected labels ({before.file})"
    hint = "Give the same table of corrections: --relabel FILE."
    if not file.is_file():
        raise RecipeError(f"data.relabelled: {many}; there is no {file}.", hint=hint)
    corrected = apply(data_set, file, name=before.file)
    if corrected.relabelled is None or corrected.relabelled.sha256 != before.sha256:
        raise RecipeError(f"data.relabelled: {many}; {file} makes other ", hint=hint)
    return corrected


def write(before: Dataset, after: Dataset, path: Path) -> None:
    """Write the labels that differ as path,label,was,split: a file that `apply` takes again."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "label", "was", "split"))
    was = {item.path: before.classes[item.label] for item in before.items}
    for item in after.items:
        label = after.classes[item.label]
        if was[item.path] != label:
            split = "test" if item.split == "test" else "train"
            table.writerow([spreadsheet_cell(cell) for cell in (item.path, label, was[item.path], split)])
    write_atomically(path, text.getvalue())


def _rows(file: Path) -> list[_Row]:
    if not file.is_file():
        raise InputError(f"--relabel {printable(urls.public(file))}: no such file.", hint=FORM)
    table: Table = delimited.read(file)
    plain = [columns.normalised(name) for name in table.names]
    if "path" not in plain or "label" not in plain:
        raise InputError(
            f"{printable(str(file))}: expected the columns path,label (columns: {shortened(table.names, 12)}).",
            hint=FORM,
        )
    resolved = columns.resolve(table.names, (), (), ReadOptions(path_column="path", label_column="label"), str(file))
    rows = []
    for line, cells in table.rows:
        if len(cells) > len(table.names) and not any(cell.strip() for cell in cells[len(table.names) :]):
            cells = cells[: len(table.names)]  # spreadsheets end lines with empty fields
        if len(cells) != len(table.names):
            raise InputError(
                f"{printable(str(file))}, line {line}: {len(cells)} cells, the first line has {len(table.names)}.",
                hint=FORM,
            )
        split = cells[resolved.split].strip().lower() if resolved.split is not None else ""
        rows.append(_Row(line=line, path=cells[resolved.path], label=cells[resolved.label or 0], split=split))
    return rows


def _item(row: _Row, by_path: Mapping[str, Item], where: str) -> Item:
    item = by_path.get(row.path) or by_path.get(row.path.strip().replace("\\", "/").removeprefix("./"))
    if item is None:
        near = difflib.get_close_matches(row.path, by_path, n=1, cutoff=0.8)
        guess = f"; is it {printable(near[0])}?" if near else ""
        raise InputError(f"{where}: {printable(row.path)} is no image of the data set{guess}", hint=FORM)
    return item


def _label(row: _Row, number: Mapping[str, int], classes: Sequence[str], where: str) -> int:
    label = number.get(row.label, number.get(label_name(row.label.strip())))
    if label is None:
        near = difflib.get_close_matches(row.label.strip(), classes, n=1)
        hint = f"Did you mean {printable(near[0])}?" if near else f"The classes are {shortened(list(classes), 12)}."
        raise InputError(f"{where}: {printable(row.label) or 'an empty cell'} is no class of the data set.", hint=hint)
    return label


def _check_split(row: _Row, item: Item, label: int, where: str) -> None:
    if item.split == "test" and label != item.label and row.split != "test":
        raise InputError(
            f"{where}: {printable(item.path)} is in the held-out test set; another label changes what is scored.",
            hint='If that is meant, add a column split with "test" in this row.',
        )
    if item.split != "test" and row.split == "test":
        raise InputError(
            f"{where}: {printable(item.path)} is not in the held-out test set.", hint="Correct the column split."
        )


def _changed(dataset: Dataset, labels: Mapping[str, int], file: str) -> Dataset:
    changed = [item for item in dataset.items if labels.get(item.path, item.label) != item.label]
    if not changed:
        note = f"--relabel {printable(file)}: no label differs from the present one."
        return dataclasses.replace(dataset, warnings=(*dataset.warnings, note))
    names = dataset.classes
    pairs = Counter((names[item.label], names[labels[item.path]]) for item in changed)
    digest = hashlib.sha256()
    for item in sorted(changed, key=lambda item: item.path):
        line = "\0".join((item.path, names[item.label], names[labels[item.path]]))
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    items = tuple(dataclasses.replace(i, label=labels.get(i.path, i.label)) for i in dataset.items)
    relabelled = Relabelled(
        file=file,
        images=len(changed),
        test_images=sum(item.split == "test" for item in changed),
        sha256=digest.hexdigest(),
        changes=tuple(
            LabelChange(was=was, label=label, images=images)
            for (was, label), images in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
        ),
    )
    dataset = dataclasses.replace(dataset, items=items, relabelled=relabelled)
    lost = set(range(len(names))) - {item.label for item in dataset.pool}
    return datasets.drop_items(dataset, ()) if lost else dataset
