"""`tl-advise export`: the model of a run for other programs, verified against `predict`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli import _options
from advisor.exporting.formats import registry as formats

if TYPE_CHECKING:
    from advisor.exporting.run_export import Exported


@click.command(name="export")
@click.argument("run", type=click.Path())
@click.option(
    "--format", "form", default="torch", show_default=True, metavar="NAME", help=f"{formats.names().capitalize()}."
)
@click.option("-o", "--out", "--to", "out", type=click.Path(), metavar="DIR", help="A new folder. [RUN/export-FORMAT]")
@click.option("--data", type=click.Path(), metavar="DIR", help="Folder of the run's images, if they were moved.")
@click.option("--ensemble", is_flag=True, help="Export the ensemble of the run instead of its single model.")
@_options.quiet()
@_options.as_json()
def command(run: str, form: str, out: str | None, data: str | None, ensemble: bool, quiet: bool, as_json: bool) -> int:
    """Export the model of a run for other programs, and verify that it predicts the same.

    The exported graph takes uint8 RGB images (N, S, S, 3) and returns calibrated probabilities; normalisation and class
    names are included. Beside it: model.json (the exact resize rule), example.py (ten lines) and the model card. The
    export is compared with `predict` on up to 256 images of the run, and kept only if both agree.

    \b
    Examples:
      tl-advise export runs/ants
      tl-advise export runs/ants --format onnx --out ants-onnx
      tl-advise export runs/ants --format safetensors --json
      tl-advise export runs/ants --ensemble --format onnx
    """
    from advisor import registry
    from advisor.cli import _console
    from advisor.exporting import run_export

    formats.find(form)
    printed: set[str] = set()

    def progress(what: str, done: int, total: int) -> None:
        if not quiet and what not in printed:
            printed.add(what)
            _console.say(f"{what} …", stderr=True)

    done = run_export.export(
        Path(run),
        form,
        registry=registry.load(),
        to=Path(out) if out else None,
        data=Path(data) if data else None,
        ensemble=ensemble,
        progress=progress,
    )
    _print(done, as_json)
    return 0


def _print(done: Exported, as_json: bool) -> None:
    from advisor.cli import _console

    if as_json:
        _console.as_json({"schema": 1, **asdict(done)})
        return
    parity = done.parity
    _console.say(f"{done.path}: {', '.join(done.files)} ({_console.size(done.bytes)})")
    _console.say(
        f"Verified against predict on {parity.n} images: same class for all of them, "
        f"probabilities within {parity.worst:.1g} (allowed: {parity.tolerance:g})"
    )
