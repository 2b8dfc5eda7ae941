"""The result of a run on a terminal: score and verdict first, then the evidence, then what to do next.

Result -> rich tables on standard output; plain text where it is piped. Does NOT cover: progress (`_live_progress`), the
report (`reporting.report`), what a result is worth (`reporting.assessment`).
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.cli._console import GLOSSARY, console, counted, facts, listing, text
from advisor.records import Best, LeftOut, Result, TestScore, ValidationScore
from advisor.reporting import assessment, insight_text, wording
from advisor.reporting.parts import distilled, ensembles, pareto

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHOWN_WARNINGS = 12
SHOWN_TIES = 3
PAGE_WIDTH = 120  # without a terminal
WHOLE = 100_000  # sentences are never shortened
Lines = list[tuple[str, str]]


def result(outcome: Result, run: Path, *, out: Console | None = None) -> None:
    """Print the result; `run` is the run directory that the commands name."""
    out = out or console(width=PAGE_WIDTH)
    for part in parts(outcome, run):
        out.print(part)


def parts(outcome: Result, run: Path) -> list[RenderableType]:
    """Return the parts in reading order: score and verdict, comparison, evidence, warnings, next steps."""
    folder = _relative(run)
    judged = assessment.assess(outcome, shlex.quote(folder))
    table = facts()
    blocks = (
        _labelled("where it fails", [assessment.failing(one) for one in judged.weak]),
        _evidence(outcome, shlex.quote(folder)),
        _labelled("warnings", _warnings(outcome)),
        _labelled("skipped networks", _skipped(outcome.left_out)),
        _labelled("what to do next", [_step(step) for step in judged.steps]),
        _files(outcome, folder),
    )
    for block in blocks:
        for label, line in block:
            table.add_row(label, text(line, longest=WHOLE))
        if block:
            table.add_row("", "")
    return [_headline(outcome, judged), _scores(outcome), table, f"[dim]{GLOSSARY}[/dim]"]


def _headline(outcome: Result, judged: assessment.Assessment) -> RenderableType:
    """Return the score beside guessing, and the verdict."""
    from rich.console import Group
    from rich.text import Text

    name = Path(outcome.dataset.path).name
    score = wording.score(outcome.test, outcome.test_reason)
    colours = {"good": "green", "uncertain": "yellow", "bad": "bold red", "unknown": "yellow"}
    lines: list[RenderableType] = [Text.from_markup(f"[bold]{text(name)}[/bold]: {text(score, longest=WHOLE)}")]
    lines[:0] = [Text.from_markup(f"[bold]{text(line, longest=WHOLE)}[/bold]") for line in wording.objective(outcome)]
    if judged.guess is not None:
        share = wording.percent(judged.guess.share)
        lines.append(Text.from_markup(f"Always answering {text(judged.guess.label)} would be right for {share}."))
    verdict = text(judged.verdict, longest=WHOLE)
    lines.append(Text.from_markup(f"[{colours[judged.state]}]{verdict}[/{colours[judged.state]}]"))
    return Group(*lines)


def _scores(outcome: Result) -> RenderableType:
    """Return a column for the recommendation, one for the untuned default, and a row for each of their facts."""
    columns = [("recommended", _column(outcome.best, outcome.validation, outcome.test))]
    if outcome.baseline and not wording.kept_default(outcome):
        base = outcome.baseline
        columns.append(("untuned default", _column(base.best, base.validation, base.test)))
    table = listing("", *(name for name, _ in columns))
    for column in table.columns[1:]:
        column.no_wrap, column.overflow = False, "fold"
    labels = ("regime", "network", "strategy", "validation", "test", "95 % interval")
    regimes = [wording.regime(outcome.regime.name), *[wording.NONE] * (len(columns) - 1)]
    rows = [regimes, *zip(*(cells for _, cells in columns), strict=True)]
    for label, cells in zip(labels, rows, strict=True):
        table.add_row(f"[dim]{label}[/dim]", *cells)
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


def _evidence(outcome: Result, folder: str) -> Lines:
    """Return why it is this, what tuning brought, what is as good, and the time."""
    rows = [("why", wording.reason(outcome))]
    if outcome.distillation is not None:
        rows += _labelled("distillation", distilled.sentences(outcome.distillation))
    else:
        rows.append(("tuning", wording.gain(outcome)))
    if outcome.ties:
        named = [f"{t.strategy} on {t.backbone} ({wording.trial(t.trial)})" for t in outcome.ties[:SHOWN_TIES]]
        more = f" and {len(outcome.ties) - SHOWN_TIES} more" if len(outcome.ties) > SHOWN_TIES else ""
        rows.append(("statistically tied", f"{', '.join(named)}{more}"))
    if outcome.ensemble:
        rows.append(("ensemble", ensembles.offered(outcome, folder)))
    if outcome.relabelled is not None:
        rows.append(("relabelled", insight_text.relabelled(outcome.relabelled)))
    if outcome.joined is not None:
        rows.append(("similar", insight_text.joined(outcome.joined)))
    if said := insight_text.forecast(outcome):
        how = f"; {insight_text.forecast_source(outcome.forecast)}" if outcome.forecast else ""
        rows.append(("more images", f"{said}{how}"))
    if outcome.attention_reason:
        rows.append(("where it looks", f"not drawn: {outcome.attention_reason}"))
    if outcome.limits is not None:
        costs = (pareto.cost(outcome.limits), pareto.price(outcome.limits))
        rows += _labelled("cost", [line for line in costs if line])
    counts = outcome.trials
    tried = f"{counted(counts.complete, 'trial')} completed, {counts.pruned} stopped early, {counts.failed} failed"
    rows.append(("time", f"{wording.time_used(outcome.budget)}; {tried}"))
    return rows


def _warnings(outcome: Result) -> list[str]:
    lines = list(dict.fromkeys(outcome.warnings))
    more = len(lines) - SHOWN_WARNINGS
    return [*lines[:SHOWN_WARNINGS], *([f"and {more} more, in the report"] if more > 0 else [])]


def _skipped(left_out: Sequence[LeftOut]) -> list[str]:
    """Return the networks that were not tried, those with the same reason in one line under the most useful name."""
    lines = []
    for item in wording.by_reason(left_out):
        more = f" and {item.count - 1} more" if item.count > 1 else ""
        lines.append(f"{item.backbone}{more}: {item.reason}" + (f" ({item.command})" if item.command else ""))
    return lines


def _step(step: assessment.NextStep) -> str:
    return f"{step.text} {step.command}".strip()


def _labelled(label: str, lines: Sequence[str]) -> Lines:
    return [(label if index == 0 else "", line) for index, line in enumerate(lines)]


def _relative(run: Path) -> str:
    return os.path.relpath(run) if run.absolute().is_relative_to(Path.cwd()) else str(run)


def _files(outcome: Result, folder: str) -> Lines:
    """Return where the files are, and the commands that use them."""
    files = [(name, os.path.join(folder, file)) for name in ("report", "recipe") if (file := outcome.files.get(name))]
    commands = [(command.split()[1], command) for _, command in wording.commands(shlex.quote(folder))]
    return [*files, *commands]
