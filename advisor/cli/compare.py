"""`tl-advise compare`: ways of training side by side, at equal steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.runtime.run_dir import RunDir


@click.command(name="compare")
@click.argument("dataset", type=click.Path())
@click.option("--arms", default="pretrained,scratch", show_default=True, metavar="A,B", help="Or names of strategies.")
@click.option(
    "--epochs", type=click.FloatRange(min=0.1), default=8.0, show_default=True, metavar="N", help="Of every arm."
)
@click.option("--budget", metavar="TIME", help="Of all arms together, in equal parts: 90s, 10m; fewer epochs then.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, metavar="N", help="Images a step.")
@click.option(
    "--surface", type=click.IntRange(0, 51), default=0, metavar="N", help="Loss surface of N x N points. [none]"
)
@click.option("--out", type=click.Path(), metavar="DIR", help="Numbers and page go here. [./tl-advise-runs/NAME-TIME]")
@_options.single()
def command(
    dataset: str,
    arms: str,
    epochs: float,
    budget: str | None,
    batch: int,
    surface: int,
    out: str | None,
    as_json: bool,
    quiet: bool,
    **call: Any,
) -> int:
    """Train arms side by side for equal steps and show what transfer does: curves, gaps, distances, paths.

    Arms are `pretrained` (the full fine-tune), `scratch` (the same network from random weights) or strategies by name.
    A fifth of the training images is held out; the locked test stays shut. Writes comparison.json and comparison.html.

    \b
    Examples:
      tl-advise compare ./photos --arms pretrained,scratch
      tl-advise compare ./photos --arms full,l2_sp,lp_ft --epochs 5 --size 128
      tl-advise compare ./photos --budget 10m
      tl-advise compare ./photos --backbone mobilenet_v2 --surface 9 --json
    """
    import time

    from advisor.cli._standalone import answering, settings
    from advisor.reporting import comparison_page
    from advisor.runtime import durations
    from advisor.runtime.atomic_file import write_atomically
    from advisor.runtime.clock import Clock, process_start
    from advisor.workflows import comparison, comparison_budget
    from advisor.workflows.session import open_session

    asked = settings(dataset, call)
    clock = Clock(durations.parse(budget) if budget else None, started=process_start())
    names = [name.strip() for name in arms.split(",") if name.strip()]
    with answering(quiet) as report:
        session = open_session(asked, report=report)
        rundir = _run_dir(dataset, out)
        deadline = None
        if budget:
            epochs = comparison_budget.epochs_within(session, names, epochs=epochs, batch=batch, seconds=clock.left_s)
            deadline = time.monotonic() + clock.left_s
        answer = comparison.compare(
            session,
            names,
            epochs=epochs,
            batch=batch,
            seed=call["seed"],
            surface=surface,
            deadline=deadline,
            report=report,
        )
        told = comparison.plain(answer)
    write_atomically(rundir.path / "comparison.json", json.dumps(told, indent=2, allow_nan=False) + "\n")
    write_atomically(rundir.path / "comparison.html", comparison_page.render(told))
    for warning in session.warnings:
        click.echo(f"note: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(told, indent=2, allow_nan=False))
    else:
        _print(told, rundir.path)
    return 0


def _print(told: dict[str, Any], place: Path) -> None:
    from advisor.cli import _console, _result_table

    out = _console.console()
    out.print(
        f"{_result_table.text(told['backbone'])} at {told['size_px']} px: {told['train_images']:,} training and "
        f"{told['held_out']:,} held-out images, {told['epochs']:.3g} epochs"
    )
    table = _console.listing("arm", "steps", "held out", "gap", "distance", "sharpness", "CKA to start", "seconds", "")
    for arm in told["arms"]:
        table.add_row(
            _result_table.text(arm["name"]),
            f"{arm['steps']:,}" + (f" of {arm['planned']:,}" if arm["steps"] < arm["planned"] else ""),
            f"{100 * arm['accuracy']:.1f} %",
            f"{100 * arm['gap']:.1f} points",
            f"{arm['points'][-1]['distance']:.2f}",
            "-" if arm["sharpness"] is None else f"{arm['sharpness']:.3f}",
            "-" if arm["cka"] is None else f"{arm['cka']:.3f}",
            f"{arm['seconds']:.0f}",
            "",
        )
    out.print(table)
    out.print(f"curves, stages and paths: {_result_table.text(str(place / 'comparison.html'))}", soft_wrap=True)


def _run_dir(dataset: str, out: str | None) -> RunDir:
    import datetime

    from advisor.runtime.run_dir import RunDir, default_place

    place = Path(out) if out else default_place(Path(dataset), datetime.datetime.now())
    return RunDir.create(place, data=Path(dataset))
