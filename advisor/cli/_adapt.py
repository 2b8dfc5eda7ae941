"""`tl-advise SOURCE --target DIR`: a labelled source, an unlabelled target, and a model for the target."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.reporting import insight_text, wording

if TYPE_CHECKING:
    from advisor.records import Settings
    from advisor.workflows.adaptation import Adaptation


def run(settings: Settings, target: str, out: str | None, *, as_json: bool, quiet: bool) -> int:
    """Adapt to the target, print the result, and leave the chosen model in the run directory."""
    from dataclasses import asdict

    from advisor.cli import _console
    from advisor.runtime.clock import Clock, process_start
    from advisor.workflows import adaptation_run

    clock = Clock(settings.budget_s, started=process_start())
    with _console.bar(quiet) as report:
        done = adaptation_run.run(
            settings, target, out=Path(out) if out else None, clock=clock, report=report, note=_console.note
        )
    for warning in done.warnings:
        _console.note(warning)
    if as_json:
        _console.as_json({"schema": 1, **asdict(done.adaptation)})
    else:
        _print(done.adaptation, done.folder)
    return 0


def _print(adaptation: Adaptation, run: Path) -> None:
    from advisor.cli import _console

    _console.say(
        f"{adaptation.source_images:,} labelled source images, {adaptation.target_images:,} unlabelled target images: "
        f"{adaptation.backbone} at {adaptation.size_px} px, {adaptation.steps:,} steps per arm"
    )
    if adaptation.joined is not None:
        _console.say(insight_text.joined(adaptation.joined))
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
