"""The parts of the report: records -> what the templates show, drawings included.

Each function returns plain values and drawings that `safe` marks as HTML. Does NOT cover: layout (`templates/`), the
drawings themselves (`report_plots`, `evidence_plots`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from advisor.records import LeftOut, Profile, Result, TestScore, Trial
from advisor.records.objective import OBJECTIVE_WORDS
from advisor.records.trials import REGIMES
from advisor.reporting import assessment, search_story, wording
from advisor.reporting.charts import evidence_plots, report_plots
from advisor.reporting.charts.report_plots import Bar, Dot, Line

SHOWN_TRIALS = 12
SHOWN_PAIRS = 12
SHOWN_BARS = 20  # classes, above which a table says it better
Safe = Callable[[str], Any]


def scores(result: Result) -> list[Bar]:
    """Return what the score is compared with: this model, the untuned default, validation."""
    rows = []
    if result.test:
        rows.append(Bar(label="this model", mark=result.test.accuracy, interval=result.test.ci95))
    if result.baseline and result.baseline.test and not wording.kept_default(result):
        other = result.baseline.test
        rows.append(Bar(label="untuned default", mark=other.accuracy, interval=other.ci95, kind="other"))
    if not math.isnan(result.validation.accuracy):
        spread = _spread(result)
        label = "validation"
        rows.append(Bar(label=label, mark=result.validation.accuracy, interval=spread, kind="faint"))
    return rows


def _spread(result: Result) -> tuple[float, float] | None:
    """Two standard errors of the mean over folds: what the folds alone say about the spread."""
    score = result.validation
    if score.std is None or score.folds < 2:
        return None
    reach = 2 * score.std / math.sqrt(score.folds)
    return max(0.0, score.accuracy - reach), min(1.0, score.accuracy + reach)


def search(result: Result, trials: Sequence[Trial], safe: Safe) -> dict[str, Any]:
    """Return every trial over time, the best of them for a table, and those that failed."""
    default = next((t.accuracy for t in trials if result.baseline and t.number == result.baseline.best.trial), None)
    dots = [
        Dot(
            x=t.started_s + t.seconds,
            y=t.accuracy,
            kind=t.regime,
            state=t.state,
            title=_trial_title(t),
            chosen=t.number == result.best.trial,
        )
        for t in trials
    ]
    scored = [t for t in trials if t.state == "complete" and not math.isnan(t.accuracy)]
    leaders = sorted(scored, key=lambda t: (t.loss, -t.accuracy, t.number))[:SHOWN_TRIALS]
    chosen = next((t for t in scored if t.number == result.best.trial), None)
    if chosen and chosen not in leaders:
        leaders = [chosen, *leaders[:-1]]
    ties = {tie.trial for tie in result.ties}
    return {
        "plot": safe(report_plots.over_time(dots, default=default)),
        "objective": OBJECTIVE_WORDS[search_story.objective_name(result)].score,
        "regimes": [name for name in REGIMES if any(t.regime == name for t in trials)],
        "states": {t.state for t in trials},
        "leaders": [
            (t, t.number == result.best.trial, t.number in ties, search_story.objective_value(result, t))
            for t in leaders
        ],
        "failed": [t for t in trials if t.state == "failed"],
    }


def _trial_title(trial: Trial) -> str:
    what = f"{wording.trial(trial.number)}: {trial.candidate.strategy} on {trial.candidate.backbone}"
    if trial.state == "failed":
        return f"{what}, failed: {trial.error}"
    ending = "" if trial.state == "complete" else f", {trial.state}"
    return f"{what}, {wording.percent(trial.accuracy)} in {wording.duration(trial.seconds)}{ending}"


def curves(result: Result, trials: Sequence[Trial], safe: Safe) -> list[dict[str, Any]]:
    """Return the learning curves of the winner, the default and the best others that trained: four panels at most."""
    default = result.baseline.best.trial if result.baseline else 0
    order = sorted(trials, key=lambda t: (t.number != result.best.trial, t.number != default, t.log_loss, t.number))
    panels = []
    for trial in order:
        curve = trial.curve
        lines = (
            Line(name="training loss", kind="train", xs=curve.step, ys=curve.train_loss),
            Line(name="validation log-loss", kind="valid", xs=curve.step, ys=curve.log_loss),
        )
        drawing = report_plots.curves([line for line in lines if len(line.xs) == len(line.ys)])
        if drawing:
            name = "recommended" if trial.number == result.best.trial else "default" if trial.number == default else ""
            panels.append({"trial": trial, "name": name, "plot": safe(drawing)})
    return panels[:4]


def classes(test: TestScore | None, safe: Safe) -> dict[str, Any] | None:
    """Return how each class does on the test set, and which are confused; None without a test."""
    if test is None or not test.per_class:
        return None
    names = list(test.per_class)
    rows = [
        Bar(label=name, mark=score.recall, note=f"{wording.percent(score.recall, 0)} of {score.n}")
        for name, score in sorted(test.per_class.items(), key=lambda item: (item[1].recall or 0.0, item[0]))
        if score.recall is not None
    ]
    counts = test.confusion
    square = len(counts) == len(names) and all(len(row) == len(names) for row in counts)
    return {
        "bars": safe(evidence_plots.bars(rows)) if len(rows) <= SHOWN_BARS else "",
        "rows": sorted(
            test.per_class.items(), key=lambda item: (item[1].recall is None, item[1].recall or 0.0, item[0])
        ),
        "f1": {name: _f1(score.recall, score.precision) for name, score in test.per_class.items()},
        "confusion": safe(evidence_plots.confusion(names, counts)) if square else "",
        "pairs": _pairs(names, counts) if square and len(names) > 2 else [],
        "small": assessment.small_classes(test.per_class),
    }


def _f1(recall: float | None, precision: float | None) -> float | None:
    if recall is None or precision is None:
        return None
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def _pairs(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[tuple[str, str, int, int]]:
    """Return the most common confusions: (true class, predicted class, images, images of the true class)."""
    size = len(names)
    pairs = [(matrix[i][j], i, j) for i in range(size) for j in range(size) if i != j and matrix[i][j]]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [(names[i], names[j], count, sum(matrix[i])) for count, i, j in pairs[:SHOWN_PAIRS]]


def data(profile: Profile, safe: Safe) -> dict[str, Any]:
    """Return images per class and split, sizes, duplicates."""
    splits = list(profile.counts)
    totals = {name: sum(profile.counts[s].get(name, 0) for s in splits) for name in profile.classes}
    most = max(totals.values(), default=1)
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    rows = [Bar(label=name, mark=count, kind="quiet", note=wording.number(count)) for name, count in ordered]
    return {
        "bars": safe(evidence_plots.bars(rows, most=most)) if len(rows) <= SHOWN_BARS else "",
        "splits": splits,
        "counts": [(name, [profile.counts[s].get(name, 0) for s in splits]) for name, _ in ordered],
        "quantiles": (("width, px", profile.width), ("height, px", profile.height), ("width / height", profile.aspect)),
        "leaks": sum(group.across for group in profile.duplicates),
        "contradictions": sum(group.labels_differ for group in profile.duplicates),
    }


def skipped(result: Result) -> list[tuple[str, str, LeftOut]]:
    """Return (network and how many more, size of its weights, row) for each reason why networks were not tried."""
    rows = []
    for item in wording.by_reason(result.left_out):
        more = f" and {item.count - 1} more" if item.count > 1 else ""
        rows.append((f"{item.backbone}{more}", wording.megabytes(item.bytes), item))
    return rows


def forgetting(result: Result, safe: Safe) -> dict[str, Any] | None:
    """Return how much of the original training is kept, and accuracies of weights between old and new."""
    measured = result.forgetting
    if measured is None:
        return None
    new = [(b.share, b.accuracy) for b in measured.blends if b.accuracy is not None]
    old = [(b.share, b.source) for b in measured.blends if b.source is not None]
    lines = [
        Line(name=name, kind=kind, xs=[x for x, _ in points], ys=[y for _, y in points])
        for name, kind, points in (("your data, held-out images", "valid", new), ("pretraining classes", "train", old))
        if len(points) > 1
    ]
    return {"measured": measured, "lines": lines, "plot": safe(report_plots.blends(lines))}
