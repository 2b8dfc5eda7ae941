"""`tl-advise label-next`: which unlabelled images to label next."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.insight.labelling import NextImage, NextImages

FORMATS = ("table", "json", "csv")
COLUMNS = ("path", "list", "rank", "suggested", "probability", "uncertainty", "unlike")


@click.command(name="label-next")
@click.argument("run", type=click.Path())
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Images to list.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="[table, or the ending of --out]")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-o", "--out", type=click.Path(), metavar="FILE", help="Write the list into this file.")
@_options.device()
@_options.threads()
@_options.blocked()
@_options.quiet()
def command(run: str, images: Sequence[str], form: str | None, as_json: bool, out: str | None, **call: Any) -> int:
    """Rank unlabelled images by how much labelling them would help.

    First come images that the model of RUN is unsure of and that differ from each other. Images that are unlike all
    training images are listed apart: they may belong to none of the classes. Images of RUN itself are left out.
    IMAGES are files, folders, or patterns in quotes.

    \b
    Examples:
      tl-advise label-next runs/ants unlabelled/ --count 50
      tl-advise label-next runs/ants unlabelled/ --count 200 --out to-label.csv
      tl-advise label-next runs/ants "camera/**/*.jpg" --json
    """
    from advisor.cli import _console, _predict_output, _standalone
    from advisor.cli.predict import load_predictor
    from advisor.data import image_paths
    from advisor.errors import InputError
    from advisor.runtime import device

    ending = Path(out).suffix.lower().lstrip(".") if out else "table"
    chosen = "json" if as_json else form or (ending if ending in FORMATS else "csv")
    if chosen == "table" and out:
        raise InputError("--format table: not possible with --out.", hint="Choose one of json, csv.")
    _standalone.output_file(out, (), "--out")
    selection = image_paths.resolve(images)
    predictor = load_predictor(run, call["blocked"], False, call["threads"])
    from advisor.insight import labelling

    compute = device.choose(call["device"], predictor.classifier.backbone)
    folder = Path(run).parent if Path(run).is_file() else Path(run)
    with _console.bar(call["quiet"]) as bar:
        result = labelling.choose(
            predictor,
            folder,
            selection.paths,
            call["count"],
            compute=compute,
            progress=lambda d, t: bar("looking", d, t),
        )
    result = replace(result, unreadable=(*selection.unlisted, *result.unreadable))
    for file in result.unreadable:
        _console.note(f"{file.path} cannot be read ({file.reason.rstrip('.')}); it is left out.")
    if chosen == "table":
        _print(result, has_index=predictor.index is not None)
    else:
        with _predict_output.destination(out) as stream:
            _write(result, chosen, stream)
    return 0


def _write(result: NextImages, form: str, stream: IO[bytes]) -> None:
    import io

    from advisor.runtime.atomic_file import to_json
    from advisor.safe_text import spreadsheet_cell

    if form == "json":
        stream.write(to_json(result).encode("utf-8"))
        return
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, images in (("ranked", result.ranked), ("unlike", result.apart)):
        for rank, one in enumerate(images, 1):
            unlike = "" if one.unlike is None else f"{one.unlike:.6f}"
            numbers = (f"{one.probability:.6f}", f"{one.uncertainty:.6f}", unlike)
            table.writerow((spreadsheet_cell(one.path), name, rank, spreadsheet_cell(one.suggested), *numbers))
    stream.write(text.getvalue().encode("utf-8", "surrogateescape"))


def _print(result: NextImages, *, has_index: bool) -> None:
    from advisor.cli import _console

    out = _console.console()
    used = f"; {_console.counted(result.used, 'image')} of the run itself left out" if result.used else ""
    _console.say(f"{_console.counted(result.examined, 'image')} compared{used}. Label these first:")
    out.print(_table(result.ranked))
    if result.apart:
        more = f" (the first {len(result.apart)})" if result.apart_in_all > len(result.apart) else ""
        _console.say(
            f"{_console.counted(result.apart_in_all, 'image')} unlike all training images{more}: "
            "check first whether they belong to one of the classes."
        )
        out.print(_table(result.apart))
    elif not has_index:
        _console.say("The model has no index of its training images, so images of something else are not set apart.")


def _table(images: Sequence[NextImage]) -> Any:
    from advisor.cli import _console

    table = _console.listing("image", "model's answer", "probability", "unsure", right=("probability", "unsure"))
    for column in table.columns[:2]:
        column.no_wrap, column.overflow = False, "fold"
    for one in images:
        table.add_row(
            _console.text(one.path),
            _console.text(one.suggested),
            f"{100 * one.probability:.1f} %",
            f"{100 * one.uncertainty:.0f} %",
        )
    return table
