"""`tl-advise runs`: list finished runs and compare two of them. No torch on this path."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli import _options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

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
    for table in _tables(summaries, out):
        out.print(table)
    if len(runs) == 2:
        out.print(_sentence(compared))
    return 0


TITLES = ("run", "data", "equal data", "objective", "test accuracy", "network", "strategy", "MB", "ms", "time")


def _tables(summaries: list[RunSummary], out: Console) -> Iterator[Table]:
    """Yield one table, a run a row; where that is wider than the terminal, one for each run, a fact a row."""
    from rich.table import Table

    from advisor.cli._console import listing

    rows = [_facts(one) for one in summaries]
    wide = listing(*TITLES)
    for row in rows:
        wide.add_row(*row)
    if out.measure(wide, options=out.options.update(max_width=sys.maxsize)).maximum <= out.width:
        yield wide
        return
    for row in rows:
        narrow = Table(box=None, show_header=False, pad_edge=False)
        narrow.add_column(no_wrap=True)
        narrow.add_column(overflow="fold")
        for title, fact in zip(TITLES, row, strict=True):
            narrow.add_row(title, fact)
        narrow.add_row()
        yield narrow


def _facts(one: RunSummary) -> list[str]:
    from advisor.cli._console import text
    from advisor.reporting import wording
    from advisor.runtime import durations

    score = one.objective
    value = wording.NONE if score is None or score.value is None else f"{score.name} {score.value:.3f}"
    if score is not None and score.ci95 is not None and all(map(math.isfinite, score.ci95)):
        value += f"\n({score.ci95[0]:.3f}-{score.ci95[1]:.3f})"
    of = "" if one.asked_s is None else f" of {durations.words(one.asked_s)}"
    return [
        text(one.run if one.status == "final" else f"{one.run} ({one.status})"),
        text(one.data),
        one.same_data,
        value,
        wording.percent(one.accuracy),
        text(one.backbone),
        text(one.strategy),
        wording.NONE if one.megabytes is None else f"{one.megabytes:.1f}",
        _milliseconds(one),
        durations.words(one.used_s) + of,
    ]


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
