"""`tl-advise SOURCE --target DIR`: a labelled source, an unlabelled target, and a model for the target."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from advisor.records import Settings
    from advisor.workflows.adaptation import Adaptation

SEEDS = 3  # as many as the budget affords, at least one; --trials says another number
SHARE = 0.8  # of what is left of the budget goes into the first round; the rest is for reading and scoring
LONGEST = 10.0  # epochs


def run(settings: Settings, target: str, out: str | None, *, as_json: bool, quiet: bool) -> int:
    """Adapt, print what came of it, and leave the chosen model in the run directory."""
    from advisor.cli._standalone import answering
    from advisor.errors import InputError
    from advisor.runtime.clock import Clock, process_start
    from advisor.runtime.run_dir import RunDir, default_place
    from advisor.workflows import adaptation
    from advisor.workflows.session import open_session

    if not Path(settings.data).exists():
        raise InputError(f"{settings.data}: no such folder or file.", hint="Name a folder of class folders, or a CSV.")
    if len(settings.backbones) > 1:
        raise InputError("--target works with one --backbone.")
    clock = Clock(settings.budget_s, started=process_start())
    place = Path(out) if out else default_place(Path(settings.data), datetime.datetime.now())
    arms = settings.strategies or adaptation.ARMS
    with answering(quiet) as report:
        session = open_session(replace(settings, budget_s=None), target=target, report=report)
        rundir = RunDir.create(place, data=Path(settings.data))
        rundir.write("run.json", replace(settings, target=target))
        left = clock.left_s
        answer = adaptation.adapt(
            session,
            arms=arms,
            seeds=range(settings.seed, settings.seed + (settings.trials or SEEDS)),
            epochs=min(LONGEST, max(1.0, adaptation.epochs_within(session, len(arms), SHARE * left))),
            deadline=None if left == float("inf") else _now() + left - 2.0,
            settings=settings,
            to=place,
            report=report,
        )
        rundir.write("adaptation.json", {"schema": 1, **_plain(answer)})
    for warning in session.warnings:
        click.echo(f"note: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({"schema": 1, **_plain(answer)}, indent=2))
    else:
        _print(answer, place)
    return 0


def _now() -> float:
    import time

    return time.monotonic()


def _plain(answer: Adaptation) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(answer)


def _print(answer: Adaptation, place: Path) -> None:
    from advisor.cli import _console, _result_table

    out = _console.console()
    out.print(
        f"{answer.source_images:,} labelled source images, {answer.target_images:,} target images without labels: "
        f"{_result_table.text(answer.backbone)} at {answer.size_px} px, {answer.steps:,} steps an arm"
    )
    table = _console.listing("arm", "seed", "held-out source", "information", "target, read after the choice", "")
    for run in answer.runs:
        scored = "-" if run.target_accuracy is None else f"{100 * run.target_accuracy:.1f} %"
        chosen = "chosen" if (run.arm, run.seed) == (answer.chosen, answer.chosen_seed) else ""
        cells = (f"{100 * run.source_accuracy:.1f} %", f"{run.information:.3f}", scored, chosen)
        table.add_row(_result_table.text(run.arm), str(run.seed), *cells)
    out.print(table)
    if answer.target_accuracy is not None and answer.target_ci95 is not None:
        low, high = (100 * end for end in answer.target_ci95)
        out.print(
            f"{100 * answer.target_accuracy:.1f} % of {answer.target_labelled:,} labelled target images are right "
            f"(95 % interval {low:.1f} - {high:.1f} %); their labels took no part in training or choice"
        )
    else:
        out.print("the target has no labels, so that nothing is known about how right the model is there")
    shown = _result_table.text(str(place))
    out.print(f"classify: tl-advise predict {shown} IMAGES", soft_wrap=True)
    out.print(f"again:    tl-advise rerun {shown} --verify", soft_wrap=True)
