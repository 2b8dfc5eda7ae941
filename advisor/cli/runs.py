"""`tl-advise runs`: list finished runs and compare two of them. No torch on this path."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from advisor.workflows.finished.finished_runs import RunDifference, RunSummary


@click.command(name="runs")
@click.argument("folders", nargs=-1, type=click.Path(), metavar="[DIR...]")
@_options.as_json()
def command(folders: tuple[str, ...], as_json: bool) -> int:
    """List finished runs, and compare those that were tested on the same images. Nothing is trained.

    DIR is a run directory or a folder that holds some (default: ./tl-advise-runs). With two runs, the difference of their
    test accuracies is tested on the same images. MB is the size of the model, ms the time per image of its exported graph on
    one thread (~ predicted).

    \b
    Examples:
      tl-advise runs
      tl-advise runs run1 run2
      tl-advise runs experiments --json
    """
    from advisor.cli import _console
    from advisor.workflows.finished import finished_runs

    runs, faults = finished_runs.readable(
        finished_runs.find([Path(folder) for folder in folders or (finished_runs.PARENT,)])
    )
    for fault in faults:
        _console.note(str(fault))
    summaries = finished_runs.summarise(runs)
    compared = finished_runs.difference(runs[0], runs[1]) if len(runs) == 2 else None
    if as_json:
        _console.record_as_json({"runs": summaries, "difference": compared})
        return 0
    out = _console.console()
    out.print(_table(summaries))
    if len(runs) == 2:
        out.print(_sentence(compared))
    return 0


def _table(summaries: list[RunSummary]) -> object:
    from advisor.cli._console import listing, text
    from advisor.reporting import wording
    from advisor.runtime import durations

    table = listing(
        "run", "data", "equal data", "objective", "test accuracy", "network", "strategy", "MB", "ms", "time"
    )
    for one in summaries:
        score = one.objective
        value = wording.NONE if score is None or score.value is None else f"{score.name} {score.value:.3f}"
        if score is not None and score.ci95 is not None and all(map(math.isfinite, score.ci95)):
            value += f" ({score.ci95[0]:.3f}-{score.ci95[1]:.3f})"
        name = one.run if one.status == "final" else f"{one.run} ({one.status})"
        size = wording.NONE if one.megabytes is None else f"{one.megabytes:.1f}"
        of = "" if one.asked_s is None else f" of {durations.words(one.asked_s)}"
        table.add_row(
            text(name),
            text(one.data),
            one.same_data,
            text(value),
            wording.percent(one.accuracy),
            text(one.backbone),
            text(one.strategy),
            size,
            _milliseconds(one),
            durations.words(one.used_s) + of,
        )
    return table


def _milliseconds(one: RunSummary) -> str:
    from advisor.reporting import wording

    if one.milliseconds is None:
        return wording.NONE
    return f"{one.milliseconds:.1f}" if one.ms_measured else f"~{wording.significant(one.milliseconds, 2)}"


def _sentence(compared: RunDifference | None) -> str:
    if compared is None:
        return "The two runs were not tested on the same images, so their scores cannot be compared in pairs."
    from advisor.reporting import wording

    low, high = compared.ci95
    clear = "not distinguishable" if low <= 0 <= high else "a clear difference"
    interval = wording.point_span(compared.ci95).removesuffix(" points")
    return (
        f"Difference on the same {wording.images(compared.n, 'test')}: {wording.points(compared.difference)} "
        f"(95 % interval {interval}, p = {compared.p:.2g}): {clear}."
    )
