"""`tl-advise export`: a run's model for other programs, checked against `predict`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from advisor.models.export import Exported


@click.command(name="export")
@click.argument("run", type=click.Path())
@click.option("--format", "form", default="torch", show_default=True, metavar="NAME", help="torch, onnx, safetensors.")
@click.option("--to", type=click.Path(), metavar="DIR", help="A new folder. [RUN/export-NAME]")
@click.option("--data", type=click.Path(), metavar="DIR", help="Where the run's images are now, if they moved.")
@click.option("--ensemble", is_flag=True, help="The run's ensemble instead of its single model.")
@click.option("--quiet", is_flag=True, help="No progress, only warnings and the answer.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON on standard output.")
def command(run: str, form: str, to: str | None, data: str | None, ensemble: bool, quiet: bool, as_json: bool) -> int:
    """Write a run's model for other programs, checked against predict.

    The exported graph takes uint8 RGB images (N, S, S, 3) and gives calibrated probabilities; normalisation and class
    names are inside. Beside it: model.json (the resize rule to the pixel), example.py (ten lines) and the model card.
    It is compared with `predict` on up to 256 real images of the run, and kept only if it agrees.

    \b
    Examples:
      tl-advise export runs/ants
      tl-advise export runs/ants --format onnx --to ants-onnx
      tl-advise export runs/ants --format safetensors --json
      tl-advise export runs/ants --ensemble --format onnx
    """
    from advisor import registry
    from advisor.models import export

    export.check_format(form)
    told: set[str] = set()

    def progress(what: str, done: int, total: int) -> None:
        if not quiet and what not in told:
            told.add(what)
            click.echo(f"{what} …", err=True)

    done = export.export(
        Path(run),
        form,
        registry=registry.load(),
        to=Path(to) if to else None,
        data=Path(data) if data else None,
        ensemble=ensemble,
        progress=progress,
    )
    _answer(done, as_json)
    return 0


def _answer(done: Exported, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps({"schema": 1, **asdict(done)}, indent=2))
        return
    parity = done.parity
    click.echo(f"{done.path}: {', '.join(done.files)} ({done.bytes / 1e6:.1f} MB)")
    click.echo(
        f"agrees with predict on {parity.n} images: the same class first on all, "
        f"probabilities within {parity.worst:.1g} (allowed: {parity.tolerance:g})"
    )
