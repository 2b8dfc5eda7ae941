"""`tl-advise compare`: strategies side by side, trained for the same number of steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.records.data import JoinedImages
    from advisor.runtime.run_dir import RunDir


@click.command(name="compare")
@click.argument("dataset", type=click.Path())
@click.option(
    "--arms",
    default="pretrained,scratch",
    show_default=True,
    metavar="A,B",
    help="pretrained, scratch, or names of strategies.",
)
@click.option(
    "--epochs", type=click.FloatRange(min=0.1), default=8.0, show_default=True, metavar="N", help="Epochs per arm."
)
@click.option("--budget", metavar="TIME", help="Limit for all arms together: 90s, 10m. Trains fewer epochs if needed.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=32, show_default=True, metavar="N", help="Images per step."
)
@click.option(
    "--surface",
    type=click.IntRange(0, 51),
    default=0,
    metavar="N",
    help="Loss surface of N x N points, N at least 2. [none]",
)
@_options.out("Folder for the numbers and the page. [./tl-advise-runs/NAME-TIME]")
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
    """Train several arms for the same number of steps, and show how pretraining helps: curves, gaps, distances, paths.

    An arm is `pretrained` (full fine-tuning), `scratch` (the same network from random weights) or the name of a
    strategy. One fifth of the training images is held out; the test set is not used. Writes comparison.json and
    comparison.html.

    \b
    Examples:
      tl-advise compare ./photos --arms pretrained,scratch
      tl-advise compare ./photos --arms full,l2_sp,lp_ft --epochs 5 --size 128
      tl-advise compare ./photos --budget 10m
      tl-advise compare ./photos --backbone mobilenet_v2 --surface 9 --json
    """
    import time

    from advisor.cli import _console
    from advisor.cli._standalone import settings
    from advisor.runtime import durations
    from advisor.runtime.clock import Clock, process_start
    from advisor.workflows import comparison, comparison_budget
    from advisor.workflows.session import open_session

    run_settings = settings(dataset, call)
    clock = Clock(durations.parse(budget) if budget else None, started=process_start())
    names = [name.strip() for name in arms.split(",") if name.strip()]
    comparison.check(names, surface)
    rundir = _run_dir(dataset, out)
    with rundir.filled(), _console.bar(quiet) as report:
        session = open_session(run_settings, budget_s=clock.asked_s, report=report)
        deadline = None
        if budget:
            epochs = comparison_budget.epochs_within(session, names, epochs=epochs, batch=batch, seconds=clock.left_s)
            deadline = time.monotonic() + clock.left_s
        compared = comparison.compare(
            session,
            names,
            epochs=epochs,
            batch=batch,
            seed=call["seed"],
            surface=surface,
            deadline=deadline,
            report=report,
        )
        facts = comparison.plain(compared)
        _write(facts, rundir.path)
    for warning in session.warnings:
        _console.note(warning)
    if as_json:
        _console.as_json(facts)
    else:
        _print(facts, rundir.path, compared.joined)
    return 0


def _write(numbers: dict[str, Any], folder: Path) -> None:
    from advisor.reporting.pages import comparison_page
    from advisor.runtime.atomic_file import write_atomically

    write_atomically(folder / "comparison.json", json.dumps(numbers, indent=2, allow_nan=False) + "\n")
    write_atomically(folder / "comparison.html", comparison_page.render(numbers))


def _print(facts: dict[str, Any], folder: Path, joined: JoinedImages | None) -> None:
    from advisor.cli import _console
    from advisor.reporting import insight_text, wording

    out = _console.console()
    out.print(
        f"{_console.text(facts['backbone'])} at {facts['size_px']} px: {facts['train_images']:,} training and "
        f"{facts['held_out']:,} held-out images, {wording.in_epochs(facts['epochs'])}"
    )
    if joined is not None:
        out.print(insight_text.joined(joined))
    table = _console.listing(
        "arm", "steps", "held-out accuracy", "gap", "distance", "sharpness", "CKA to start", "seconds", ""
    )
    for arm in facts["arms"]:
        table.add_row(
            _console.text(arm["name"]),
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
    _console.command(f"curves, stages and paths: {folder / 'comparison.html'}")


def _run_dir(dataset: str, out: str | None) -> RunDir:
    import datetime

    from advisor.data.remote import urls
    from advisor.runtime.run_dir import RunDir, default_folder

    data = urls.public_path(dataset)
    return RunDir.create(Path(out) if out else default_folder(data, datetime.datetime.now()), data=data)
