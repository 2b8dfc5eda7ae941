"""`tl-advise export`: the model of a run for other programs, verified against `predict`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options
from advisor.exporting.formats import registry as formats

if TYPE_CHECKING:
    from advisor.exporting.run_export import Exported


@click.command(name="export")
@click.argument("run", type=click.Path())
@click.option("--format", "form", metavar="NAME", help=f"One of {formats.names()}. [torch; with --int8 onnx]")
@click.option("-o", "--out", "--to", "out", type=click.Path(), metavar="DIR", help="A new folder. [RUN/export-FORMAT]")
@click.option("--data", type=click.Path(), metavar="DIR", help="Folder of the run's images, if they were moved.")
@click.option("--ensemble", is_flag=True, help="Export the ensemble of the run instead of its single model.")
@click.option("--int8", is_flag=True, help="Quantise to 8 bits (ONNX), and keep it only if it is as good.")
@click.option(
    "--tolerate",
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="With --int8: accuracy that may be lost, in points. [within noise, or below 1]",
)
@_options.quiet()
@_options.as_json()
def command(
    run: str,
    form: str | None,
    out: str | None,
    data: str | None,
    ensemble: bool,
    int8: bool,
    tolerate: float | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Export the model of a run for other programs, and verify that it predicts the same.

    The exported graph takes uint8 RGB images (N, S, S, 3) and returns calibrated probabilities; normalisation and class
    names are included. Beside it: model.json (the exact resize rule), example.py (twenty lines) and the model card. The
    export is compared with `predict` on up to 256 images of the run, and kept only if both agree.

    --int8 calibrates on training images and compares both graphs on the locked test images: it is kept if the loss of
    accuracy is within noise or below one point, or within --tolerate; otherwise the exit code is 3.

    \b
    Examples:
      tl-advise export runs/ants
      tl-advise export runs/ants --format onnx --out ants-onnx
      tl-advise export runs/ants --format safetensors --json
      tl-advise export runs/ants --ensemble --format onnx
      tl-advise export runs/ants --int8 --tolerate 2
    """
    from advisor import registry
    from advisor.cli import _console
    from advisor.errors import QuantisationError

    _check(form, ensemble, int8, tolerate)
    printed: set[str] = set()

    def progress(what: str, done: int, total: int) -> None:
        if not quiet and what not in printed:
            printed.add(what)
            _console.say(f"{what} …", stderr=True)

    places: dict[str, Any] = {"to": Path(out) if out else None, "data": Path(data) if data else None}
    if int8:
        from advisor.exporting import int8_export

        points = None if tolerate is None else tolerate / 100
        try:
            done = int8_export.export(Path(run), registry=registry.load(), tolerate=points, progress=progress, **places)
        except QuantisationError as error:
            if as_json:
                _print(error.measured, as_json)  # what was measured is the answer; the exit code is that of the error
            raise
    else:
        from advisor.exporting import run_export

        done = run_export.export(
            Path(run), form or "torch", registry=registry.load(), ensemble=ensemble, progress=progress, **places
        )
    _print(done, as_json)
    return 0


def _check(form: str | None, ensemble: bool, int8: bool, tolerate: float | None) -> None:
    """Raise InputError for options that exclude each other, and for a format that cannot be used."""
    from advisor.errors import InputError

    if int8 and form not in (None, "onnx"):
        raise InputError(f"--int8 writes ONNX, not {form}.", hint="Leave out --format, or name onnx.")
    if int8 and ensemble:
        raise InputError("--int8 quantises a single model, not an ensemble.", hint="Leave out --ensemble.")
    if tolerate is not None and not int8:
        raise InputError("--tolerate belongs to --int8.", hint="Add --int8, or leave it out.")
    formats.find("onnx" if int8 else form or "torch")


def _print(done: Exported, as_json: bool) -> None:
    from advisor.cli import _console

    if as_json:
        _console.as_json({"schema": 1, **asdict(done)})
        return
    parity, int8 = done.parity, done.int8
    _console.say(f"{done.path}: {', '.join(done.files)} ({_console.size(done.bytes)})")
    if int8 is None:
        _console.say(
            f"Verified against predict on {parity.n} images: same class for all of them, "
            f"probabilities within {parity.worst:.1g} (allowed: {parity.tolerance:g})"
        )
        return
    _console.say(f"INT8 against float32: {int8.sentence}")
    _console.say(
        f"{int8.mb_before:.1f} -> {int8.mb_after:.1f} MB, {int8.ms_before:.1f} -> {int8.ms_after:.1f} ms per image on one "
        f"thread; ranges by {int8.setting} on {int8.calibration_images} training images"
    )
