"""The answer of `advise` on a terminal: score, regime, gain, warnings, what to do next; plain text where it is piped.

Result -> rich tables on standard output. What it does not cover: progress (`advisor/cli/screen.py`), the report.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.records import Best, Result, TestScore, ValidationScore
from advisor.reporting import wording

if TYPE_CHECKING:
    from rich.box import Box
    from rich.console import Console, RenderableType

SHOWN_WARNINGS = 12
SHOWN_LEFT_OUT = 4


def result(answer: Result, run: Path, *, console: Console | None = None) -> None:
    """Print the answer; `run` is the run directory that the next commands name."""
    from rich.console import Console

    # Where nobody watches, lines are as long as a log can bear, and nothing is cut off.
    out = console or Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for part in parts(answer, run):
        out.print(part)


def parts(answer: Result, run: Path) -> list[RenderableType]:
    """Return the answer's parts in reading order: scores, then reasons, warnings, what was left out, next steps."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for block in (_reasons(answer, _place(run)), _warnings(answer), _left_out(answer), _next(answer, _place(run))):
        for label, line in block:
            table.add_row(label, text(line))
        if block:
            table.add_row("", "")
    return [_scores(answer), table]


def _scores(answer: Result) -> RenderableType:
    """The table: a column for the recommendation, one for the untuned default, a row for what each reached."""
    from rich.table import Table

    title = f"{text(Path(answer.dataset.path).name)}: {wording.regime(answer.regime.name)}"
    table = Table(title=title, title_style="bold", title_justify="left", box=_box(), pad_edge=False)
    columns = [("recommended", "bold", _column(answer.best, answer.validation, answer.test))]
    if answer.baseline and not wording.kept_default(answer):
        base = answer.baseline
        columns.append(("untuned default", "", _column(base.best, base.validation, base.test)))
    table.add_column("", style="dim", no_wrap=True)
    for name, style, _ in columns:
        table.add_column(name, style=style, overflow="fold")
    labels = ("network", "strategy", "validation", "locked test", "95 % interval")
    for label, *cells in zip(labels, *(cells for _, _, cells in columns), strict=True):
        table.add_row(label, *cells)
    return table


def _column(best: Best, validation: ValidationScore, test: TestScore | None) -> list[str]:
    return [
        text(best.backbone),
        text(best.strategy),
        _validation(validation),
        f"{wording.percent(test.accuracy)} (n = {test.n})" if test else wording.NONE,
        wording.span(test.ci95) if test else wording.NONE,
    ]


def _validation(score: ValidationScore) -> str:
    if math.isnan(score.accuracy):
        return wording.NONE
    spread = f" ± {100 * score.std:.1f}" if score.std is not None else ""
    return f"{wording.percent(score.accuracy).removesuffix(' %')}{spread} % (n = {score.n})"


def _reasons(answer: Result, place: str) -> list[tuple[str, str]]:
    """Why it is this, what the search brought, how sure one can be."""
    rows = [("why", wording.reason(answer)), ("gain", wording.gain(answer))]
    if answer.test is None:
        rows.append(("test", wording.score(None, answer.test_reason)))
    else:
        rows.append(
            ("balanced", f"{wording.percent(answer.test.balanced_accuracy)} on the locked test (mean over classes)")
        )
    if answer.ties:
        named = [f"{wording.trial(t.trial)} ({t.strategy} on {t.backbone})" for t in answer.ties[:SHOWN_LEFT_OUT]]
        more = f" and {len(answer.ties) - SHOWN_LEFT_OUT} more" if len(answer.ties) > SHOWN_LEFT_OUT else ""
        rows.append(("ties", f"the data cannot tell it from {', '.join(named)}{more}"))
    if answer.ensemble:
        rows.append(("ensemble", wording.ensemble(answer, shlex.quote(place))))
    asked = f" of {wording.duration(answer.budget.asked_s)}" if answer.budget.asked_s is not None else ""
    counts = answer.trials
    tried = f"{counts.complete} trials complete, {counts.pruned} stopped early, {counts.failed} failed"
    rows.append(("settings", wording.settings(answer.best.parameters)))
    rows.append(("time", f"{wording.duration(answer.budget.used_s)}{asked}; {tried}"))
    return rows


def _warnings(answer: Result) -> list[tuple[str, str]]:
    lines = list(dict.fromkeys(answer.warnings))
    more = len(lines) - SHOWN_WARNINGS
    tail = [f"and {more} more, in the report"] if more > 0 else []
    return _under("mind this", [*lines[:SHOWN_WARNINGS], *tail])


def _left_out(answer: Result) -> list[tuple[str, str]]:
    lines = [
        f"{item.backbone}: {item.reason}" + (f" ({item.command})" if item.command else "") for item in answer.left_out
    ]
    more = len(lines) - SHOWN_LEFT_OUT
    tail = [f"and {more} more (tl-advise weights)"] if more > 0 else []
    return _under("left out", [*lines[:SHOWN_LEFT_OUT], *tail])


def _under(label: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(label if index == 0 else "", line) for index, line in enumerate(lines)]


def _place(run: Path) -> str:
    return os.path.relpath(run) if run.absolute().is_relative_to(Path.cwd()) else str(run)


def _next(answer: Result, place: str) -> list[tuple[str, str]]:
    """Where the files are, and the commands that use them."""
    files = [(name, os.path.join(place, file)) for name in ("report", "recipe") if (file := answer.files.get(name))]
    steps = [(command.split()[1], command) for _, command in wording.commands(answer, shlex.quote(place))]
    return [*files, *steps]


def text(value: str) -> str:
    """Make a string safe to print: brackets are no markup, stray bytes and control characters are shown as escapes."""
    from rich.markup import escape

    # Bytes that are no UTF-8 are shown as such (\\xe9), any other stray surrogate by its number.
    clean = "".join(f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in value)
    clean = clean.encode("utf-8", "backslashreplace").decode("utf-8")
    return escape("".join(c if c.isprintable() or c == " " else repr(c)[1:-1] for c in clean))


def _box() -> Box:
    from rich import box

    return box.SIMPLE_HEAD
