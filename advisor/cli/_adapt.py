"""`tl-advise SOURCE --target DIR`: a labelled source, an unlabelled target, and a model for the target."""

from __future__ import annotations

import datetime
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.reporting import wording

if TYPE_CHECKING:
    from advisor.records import Settings
    from advisor.workflows.adaptation import Adaptation

SEEDS = 3  # at most, as far as the budget allows; at least one; --trials changes the number
SHARE = 0.8  # of the remaining budget goes into the first round; the rest is for reading and scoring
MAX_EPOCHS = 10.0


def run(settings: Settings, target: str, out: str | None, *, as_json: bool, quiet: bool) -> int:
    """Adapt to the target, print the result, and leave the chosen model in the run directory."""
    from advisor.cli import _console
    from advisor.data.remote import urls
    from advisor.errors import InputError
    from advisor.runtime.clock import Clock, process_start
    from advisor.runtime.run_dir import RunDir, default_place
    from advisor.workflows import adaptation
    from advisor.workflows.session import open_session

    urls.check_exists(settings.data)
    if len(settings.backbones) > 1:
        raise InputError("--target works with one --backbone.", hint="Name only one.")
    clock = Clock(settings.budget_s, started=process_start())
    folder = Path(out) if out else default_place(Path(settings.data), datetime.datetime.now())
    arms = settings.strategies or adaptation.ARMS
    with _console.bar(quiet) as report:
        session = open_session(replace(settings, budget_s=None), target=target, report=report)
        rundir = RunDir.create(folder, data=Path(settings.data))
        rundir.write("run.json", replace(settings, target=target))
        left_s = clock.left_s
        adapted = adaptation.adapt(
            session,
            arms=arms,
            seeds=range(settings.seed, settings.seed + (settings.trials or SEEDS)),
            epochs=min(MAX_EPOCHS, max(1.0, adaptation.epochs_within(session, len(arms), SHARE * left_s))),
            deadline=None if left_s == float("inf") else _now() + left_s - 2.0,
            settings=settings,
            to=folder,
            report=report,
        )
        rundir.write("adaptation.json", {"schema": 1, **_plain(adapted)})
    for warning in session.warnings:
        _console.note(warning)
    if as_json:
        _console.as_json({"schema": 1, **_plain(adapted)})
    else:
        _print(adapted, folder)
    return 0


def _now() -> float:
    import time

    return time.monotonic()


def _plain(adapted: Adaptation) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(adapted)


def _print(adaptation: Adaptation, run: Path) -> None:
    from advisor.cli import _console

    _console.say(
        f"{adaptation.source_images:,} labelled source images, {adaptation.target_images:,} unlabelled target images: "
        f"{adaptation.backbone} at {adaptation.size_px} px, {adaptation.steps:,} steps per arm"
    )
    columns = ("arm", "seed", "held-out source", "information", "target (not used for the choice)", "")
    table = _console.listing(*columns)
    for one in adaptation.runs:
        scored = wording.percent(one.target_accuracy)
        chosen = "chosen" if (one.arm, one.seed) == (adaptation.chosen, adaptation.chosen_seed) else ""
        cells = (wording.percent(one.source_accuracy), f"{one.information:.3f}", scored, chosen)
        table.add_row(_console.text(one.arm), str(one.seed), *cells)
    _console.console().print(table)
    if adaptation.target_accuracy is not None and adaptation.target_ci95 is not None:
        _console.say(
            f"Accuracy on {adaptation.target_labelled:,} labelled target images: "
            f"{wording.percent(adaptation.target_accuracy)} (95 % interval {wording.span(adaptation.target_ci95)}); "
            "their labels were used neither for training nor for the choice"
        )
    else:
        _console.say("The target has no labels, so its accuracy is unknown.")
    quoted = shlex.quote(str(run))
    _console.command(f"classify images:    tl-advise predict {quoted} IMAGES")
    _console.command(f"retrain and verify: tl-advise rerun {quoted} --verify")
