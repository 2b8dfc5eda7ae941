"""How `predict` writes its predictions: table, CSV or JSON, to the terminal or a file.

In a CSV, names that a spreadsheet would compute as a formula are neutralised unless `raw` is set (OWASP, CSV injection).
Does NOT cover: which images (`_predict_inputs`), classifying them and the rows of the JSON (`models.predict`).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from advisor.errors import OutputError
from advisor.runtime import atomic_file
from advisor.safe_text import spreadsheet_cell

if TYPE_CHECKING:
    from advisor.metrics.novelty import NoveltyIndex
    from advisor.records import Unreadable

UNSURE = "unsure"  # the class of an image whose best probability is below the threshold
RARE = 0.01  # share of known images, at or below which the table marks an image


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image: its path, its most probable classes with their probabilities, and what it is called in the answer."""

    path: str
    label: str
    best: tuple[tuple[str, float], ...]
    unlike: float | None = None  # share of typical images that are at least as unlike the training images
    image: Any = None  # the path or bytes that were classified


def row(
    path: str,
    image: Any,
    best: Sequence[tuple[str, float]],
    threshold: float,
    unlike: float | None = None,
    *,
    is_unknown: bool = False,
) -> Row:
    """Return the row of an image; its label is `UNKNOWN` where asked for, and `UNSURE` below the threshold."""
    from advisor.models.predict import UNKNOWN

    label = UNKNOWN if is_unknown else best[0][0] if best[0][1] >= threshold else UNSURE
    return Row(path=path, label=label, best=tuple(best), unlike=unlike, image=image)


@contextmanager
def destination(out: str | None) -> Iterator[IO[bytes]]:
    """Open the file at `out`, or standard output. Raises OutputError where the file cannot be written.

    The file takes its name when it is whole: what was there before stays where the command ends early.
    """
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(out))
    is_plain = target.is_file() or not target.exists()  # neither a pipe nor /dev/stdout
    is_plain = is_plain and os.access(target.parent, os.W_OK)
    try:
        with (
            atomic_file.replacing(target) if is_plain else contextlib.nullcontext(target) as written,
            open(written, "wb") as file,
        ):
            yield file
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}).", hint="Choose another --out.") from error


def as_csv(rows: Iterator[Row], top: int, stream: IO[bytes], *, with_unlike: bool, raw: bool) -> Iterator[Row]:
    """Write one line per image as they come, and yield each row after it was written."""
    extra = [name for k in range(2, top + 1) for name in (f"class_{k}", f"probability_{k}")]
    stream.write(_line(["path", "class", "probability", *extra, *(["unlike"] if with_unlike else [])]))
    for one in rows:
        cells = [one.path, one.label, f"{one.best[0][1]:.6f}"]
        cells += [cell for name, probability in one.best[1:] for cell in (name, f"{probability:.6f}")]
        cells += [f"{one.unlike:.6f}"] if with_unlike and one.unlike is not None else []
        names = cells if raw else [spreadsheet_cell(cell) for cell in cells]
        stream.write(_line(names))
        yield one


def _line(cells: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def as_json(rows: Sequence[Row], classes: Sequence[str], unreadable: Sequence[Unreadable], stream: IO[bytes]) -> None:
    """Write one JSON document, in ASCII: a byte that is not UTF-8 becomes an escape that Python reads back."""
    from advisor.models.predict import json_document, json_row

    predictions = [json_row(one.path, one.best, one.label, one.unlike) for one in rows]
    whole = json_document(classes, predictions, unreadable)
    stream.write(json.dumps(whole, indent=2).encode("ascii") + b"\n")


def as_table(rows: Sequence[Row], top: int, rare: float = RARE) -> None:
    """Print a table on standard output; a share of known images of at most `rare` stands out."""
    from advisor.cli import _console

    if not rows:
        return
    with_unlike = rows[0].unlike is not None
    columns = ["image", "class", "probability", *(["as unlike"] if with_unlike else []), *(["next"] if top > 1 else [])]
    table = _console.listing(*columns, right=("probability", "as unlike"))
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
    for one in rows:
        after = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in one.best[1:])
        cells = (_console.text(one.path), _console.text(one.label), f"{100 * one.best[0][1]:.1f} %")
        unlike = [] if one.unlike is None else [_unlike(one.unlike, rare)]
        table.add_row(*cells, *unlike, *([_console.text(after)] if top > 1 else []))
    _console.console().print(table)


def _unlike(share: float, rare: float) -> str:
    """Write the share of typical images that are at least as unlike the training images; a small one stands out."""
    shown = f"{100 * share:.1f} %"
    return f"[yellow]{shown}[/yellow]" if share <= rare else shown


def explain(index: NoveltyIndex | None, rate: float | None, *, quiet: bool) -> None:
    """Print what "as unlike" means and, where the model abstains, the false alarms on held-out images."""
    from advisor.cli import _console
    from advisor.metrics import novelty
    from advisor.models.predict import LIMIT
    from advisor.reporting import wording

    if index is None or quiet:
        return
    if rate is None:
        _console.say(
            "as unlike: share of typical images that differ from the training set at least as much; a small value suggests "
            f"something else (--abstain 0.05 answers unknown). {LIMIT}",
            stderr=True,
        )
        return
    flagged, n = novelty.false_alarms(index, rate)
    counted = wording.false_alarms(rate, flagged, n, novelty.false_alarm_interval(index, rate))
    _console.say(f"{counted} {LIMIT}", stderr=True)
