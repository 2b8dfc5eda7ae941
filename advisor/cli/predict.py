"""`tl-advise predict`: classify images with a run's model, by the same decoding and preprocessing as its training."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy.typing as npt
    from rich.progress import Progress

    from advisor.records import Unreadable

CHUNK = 256  # images that are in memory at once
FORMATS = ("table", "json", "csv")
Row = tuple[str, list[tuple[str, float]]]  # path, the most probable classes with their probabilities


@click.command(name="predict")
@click.argument("run", type=click.Path())
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="Name K classes.")
@click.option("--format", "form", default="table", show_default=True, metavar="NAME", help="table, json or csv.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--block", "blocked", multiple=True, metavar="PLUGIN", help="Leave a plugin out (repeatable).")
@click.option("--ensemble", is_flag=True, help="Ask the run's ensemble instead of its single model.")
@click.option("--quiet", is_flag=True, help="No progress, only warnings and the answer.")
def command(
    run: str,
    images: Sequence[str],
    top: int,
    form: str,
    as_json: bool,
    blocked: Sequence[str],
    ensemble: bool,
    quiet: bool,
) -> int:
    """Classify images with a run's model.

    RUN is a run directory (or its recipe.yaml). IMAGES are files, folders, or patterns in quotes. What cannot be read
    is reported on standard error and left out; the probabilities are calibrated.

    \b
    Examples:
      tl-advise predict runs/ants photo.jpg
      tl-advise predict runs/ants new-photos/ --top 3
      tl-advise predict runs/ants "scans/**/*.png" --format csv > classes.csv
    """
    from advisor.data import image_paths
    from advisor.errors import InputError

    form = "json" if as_json else form
    if form not in FORMATS:
        raise InputError(f"--format {form}: there is no such format.", hint=f"Choose one of {', '.join(FORMATS)}.")
    chosen = image_paths.resolve(images)
    predictor = load_predictor(run, blocked, ensemble)
    unreadable: list[Unreadable] = []
    rows = _rows(predictor, chosen.paths, top, unreadable, quiet)
    known = len(predictor.classes)
    shown = _write(rows, form, list(predictor.classes), min(top, known), unreadable)
    for file in unreadable:
        reason = file.reason.removeprefix(f"{_shown(file.path)} cannot be read: ").rstrip(".")
        _tell(f"warning: {_shown(file.path)} cannot be read ({_shown(reason)}); it is left out.")
    if chosen.skipped and not quiet:
        _tell(f"left out {chosen.skipped} file{'s' if chosen.skipped > 1 else ''} that cannot be images.")
    if not shown:
        raise InputError("none of the images can be read.", hint="The warnings above say why.")
    return 0


def load_predictor(run: str, blocked: Sequence[str], ensemble: bool) -> Any:
    from advisor import registry
    from advisor.models import ensemble_predictor, model_files, predictor
    from advisor.runtime import device

    device.keep_freed_memory()
    place = Path(run).parent if Path(run).is_file() else Path(run)
    plugins = registry.load(block=tuple(blocked))
    return (
        ensemble_predictor.load(place / model_files.ENSEMBLE_FOLDER, plugins)
        if ensemble
        else predictor.load(place, plugins)
    )


def _rows(predictor: Any, paths: Sequence[str], top: int, unreadable: list[Unreadable], quiet: bool) -> Iterator[Row]:
    """Classify in chunks, so that memory is bounded however many images there are."""
    with _Progress(len(paths), quiet) as progress:
        for start in range(0, len(paths), CHUNK):
            part = paths[start : start + CHUNK]
            found = predictor.predict(part)
            unreadable += found.unreadable
            for path, probabilities_K in zip(found.paths, found.probabilities, strict=True):
                yield path, _most_probable(probabilities_K, found.classes, top)
            progress.advance(len(part))


def _most_probable(probabilities_K: npt.NDArray[Any], classes: Sequence[str], top: int) -> list[tuple[str, float]]:
    order = sorted(range(len(classes)), key=lambda k: (-float(probabilities_K[k]), k))[:top]
    return [(classes[k], float(probabilities_K[k])) for k in order]


def _write(rows: Iterator[Row], form: str, classes: list[str], top: int, unreadable: Sequence[Unreadable]) -> int:
    """Write the answer on standard output; give how many images are in it."""
    if form == "csv":
        return _write_csv(rows, top)
    found = list(rows)
    if form == "json":
        click.echo(_json(found, classes, unreadable))
    elif found:
        _print_table(found, top)
    return len(found)


def _write_csv(rows: Iterator[Row], top: int) -> int:
    """One line an image, as they come; a path's own bytes are written, whatever they are."""
    out = sys.stdout.buffer
    extra = [name for k in range(2, top + 1) for name in (f"class_{k}", f"probability_{k}")]
    out.write(_line(["path", "class", "probability", *extra]))
    count = 0
    for path, best in rows:
        cells = [cell for name, probability in best for cell in (name, f"{probability:.6f}")]
        out.write(_line([path, *cells]))
        count += 1
    out.flush()
    return count


def _line(cells: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def _json(rows: Sequence[Row], classes: Sequence[str], unreadable: Sequence[Unreadable]) -> str:
    """ASCII only: a byte that is no UTF-8 becomes an escape (U+DC80 to U+DCFF), which Python reads back."""
    predictions = [
        {
            "path": path,
            "class": best[0][0],
            "probability": best[0][1],
            "top": [{"class": name, "probability": probability} for name, probability in best],
        }
        for path, best in rows
    ]
    left_out = [{"path": file.path, "reason": file.reason} for file in unreadable]
    answer = {"schema": 1, "classes": list(classes), "predictions": predictions, "unreadable": left_out}
    return json.dumps(answer, indent=2)


def _print_table(rows: Sequence[Row], top: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from advisor.cli import _result_table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right")
    if top > 1:
        table.add_column("then", overflow="fold")
    for path, best in rows:
        then = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in best[1:])
        first = [_result_table.text(path), _result_table.text(best[0][0]), f"{100 * best[0][1]:.1f} %"]
        table.add_row(*first, *([_result_table.text(then)] if top > 1 else []))
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


class _Progress:
    """A bar on standard error where somebody watches and there is more than one chunk."""

    def __init__(self, total: int, quiet: bool) -> None:
        self.total = total
        self.bar: Progress | None = None
        self.wanted = not quiet and total > CHUNK and sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        if self.wanted:
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("classifying", total=self.total)
        return self

    def advance(self, images: int) -> None:
        if self.bar:
            self.bar.advance(self.task, images)

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.stop()


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _shown(text: str) -> str:
    from advisor.data.images import printable

    return " ".join(printable(text).split())
