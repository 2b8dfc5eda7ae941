"""How `predict` writes its predictions: table, CSV or JSON, to the terminal or a file; and images sorted into folders.

In a CSV, names that a spreadsheet would compute as a formula are neutralised unless `raw` is set (OWASP, CSV injection).
Does NOT cover: which images (`_predict_inputs`), classifying them (`models`).
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from advisor.errors import OutputError
from advisor.safe_text import printable, spreadsheet_cell

if TYPE_CHECKING:
    from advisor.records import Unreadable

UNSURE = "unsure"  # the class of an image whose best probability is below the threshold


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image: its path, its most probable classes with their probabilities, and what it is called in the answer."""

    path: str
    label: str
    best: tuple[tuple[str, float], ...]
    image: Any = None  # the path or bytes that were classified


def row(path: str, image: Any, best: Sequence[tuple[str, float]], threshold: float) -> Row:
    """Return the row of an image; below the threshold its label is `UNSURE`."""
    label = best[0][0] if best[0][1] >= threshold else UNSURE
    return Row(path=path, label=label, best=tuple(best), image=image)


@contextmanager
def destination(out: str | None) -> Iterator[IO[bytes]]:
    """Open the file at `out`, or standard output. Raises OutputError where the file cannot be written."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with open(out, "wb") as file:
            yield file
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}).", hint="Choose another --out.") from error


def as_csv(rows: Iterator[Row], top: int, stream: IO[bytes], *, raw: bool) -> Iterator[Row]:
    """Write one line per image as they come, and yield each row after it was written."""
    extra = [name for k in range(2, top + 1) for name in (f"class_{k}", f"probability_{k}")]
    stream.write(_line(["path", "class", "probability", *extra]))
    for one in rows:
        cells = [one.path, one.label, f"{one.best[0][1]:.6f}"]
        cells += [cell for name, probability in one.best[1:] for cell in (name, f"{probability:.6f}")]
        names = cells if raw else [spreadsheet_cell(cell) for cell in cells]
        stream.write(_line(names))
        yield one


def _line(cells: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def as_json(rows: Sequence[Row], classes: Sequence[str], unreadable: Sequence[Unreadable], stream: IO[bytes]) -> None:
    """Write one JSON document, in ASCII: a byte that is not UTF-8 becomes an escape that Python reads back."""
    predictions = [
        {
            "path": one.path,
            "class": one.best[0][0],
            "probability": one.best[0][1],
            "label": one.label,
            "top": [{"class": name, "probability": probability} for name, probability in one.best],
        }
        for one in rows
    ]
    skipped = [{"path": file.path, "reason": file.reason} for file in unreadable]
    whole = {"schema": 1, "classes": list(classes), "predictions": predictions, "unreadable": skipped}
    stream.write(json.dumps(whole, indent=2).encode("ascii") + b"\n")


def as_table(rows: Sequence[Row], top: int) -> None:
    """Print a table on standard output."""
    from advisor.cli import _console

    if not rows:
        return
    columns = ("image", "class", "probability", *(("next",) if top > 1 else ()))
    table = _console.listing(*columns, right=("probability",))
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
    for one in rows:
        after = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in one.best[1:])
        cells = (_console.text(one.path), _console.text(one.label), f"{100 * one.best[0][1]:.1f} %")
        table.add_row(*cells, *([_console.text(after)] if top > 1 else []))
    _console.console().print(table)


def sort_into(folder: Path, one: Row) -> None:
    """Copy an image into `folder/CLASS/`, under its own name, numbered where that is taken. The original stays.

    Raises OutputError where it cannot be written.
    """
    target = folder / _folder_name(one.label)
    name = Path(one.path).name if not isinstance(one.image, bytes) else "standard-input"
    try:
        target.mkdir(parents=True, exist_ok=True)
        path, number = target / name, 1
        while path.exists():
            number += 1
            path = target / f"{Path(name).stem}-{number}{Path(name).suffix}"
        if isinstance(one.image, bytes):
            path.write_bytes(one.image)
        else:
            shutil.copyfile(one.image, path)
    except OSError as error:
        raise OutputError(
            f"--sort-into {folder}: cannot be written ({error.strerror}).", hint="Choose another folder."
        ) from error


def _folder_name(label: str) -> str:
    """Return a class name as the name of one folder: no separator, no way up, nothing hidden."""
    name = printable(label).replace("/", "_").replace("\\", "_").lstrip(".")
    return name or "_"
