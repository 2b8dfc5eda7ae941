"""The report: records -> one self-contained HTML page that explains itself: the answer first, then its evidence.

Nothing on the page is fetched from anywhere: drawings are SVG, pictures data URLs, style is inline, there is no script.
Every name is escaped. A provisional result, without test or default, renders as well as a final one. What it does not
cover: reading images (`advisor/thumbnails.py`), drawing (`advisor/plots.py`), wording shared with others
(`advisor/words.py`).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.records import Profile, Result, TestScore, Trial
from advisor.records.trials import REGIMES
from advisor.reporting import report_plots, wording
from advisor.reporting.report_plots import Bar, Dot, Line

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_TRIALS = 12
SHOWN_PAIRS = 12


def render(
    result: Result,
    profile: Profile,
    trials: Sequence[Trial],
    *,
    thumbnails: Mapping[str, bytes] | None = None,
    title: str = "",
    run: str = "RUN",
) -> str:
    """Return the page. `thumbnails` maps a mistake's path to a small JPEG or PNG; `run` is the directory's name."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(percent=wording.percent, number=wording.number, duration=wording.duration, value=wording.value)
    page.filters.update(points=wording.points, regime=wording.regime, settings=wording.settings)
    html = page.get_template("report.html.j2").render(
        result=result,
        profile=profile,
        title=title or Path(result.dataset.path).name or "data set",
        words=wording,
        run=run,
        commands=wording.commands(result, run),
        warnings=_unique([*result.warnings, *profile.warnings]),
        scores=_safe(report_plots.intervals(_score_rows(result))),
        search=_search(result, trials),
        curves=_curves(result, trials),
        classes=_classes(result.test),
        mistakes=_mistakes(result, thumbnails or {}),
        data=_data(profile),
        extras=_extras(result),
        kept=_kept(result),
    )
    html = re.sub(r"(\d) %", "\\1\u00a0%", html)  # a number stays beside its sign
    # A name with bytes that are no UTF-8 has no place in an HTML file: it is shown with a question mark.
    return html.encode("utf-8", "replace").decode("utf-8")


def _safe(svg: str) -> Any:
    """Mark a drawing as HTML: `plots` has escaped what is in it."""
    from markupsafe import Markup

    return Markup(svg)


def _unique(lines: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _score_rows(result: Result) -> list[Bar]:
    rows = []
    if result.test:
        rows.append(Bar(label="this model, locked test", mark=result.test.accuracy, interval=result.test.ci95))
    if result.baseline and result.baseline.test and not wording.kept_default(result):
        other = result.baseline.test
        rows.append(Bar(label="untuned default, locked test", mark=other.accuracy, interval=other.ci95, kind="other"))
    if not math.isnan(result.validation.accuracy):
        spread = _spread(result)
        label = "this model, validation" if result.test else "validation (it chose the model)"
        rows.append(Bar(label=label, mark=result.validation.accuracy, interval=spread, kind="faint"))
    return rows


def _spread(result: Result) -> tuple[float, float] | None:
    """Two standard errors of the mean over folds: what the folds alone say about the spread."""
    score = result.validation
    if score.std is None or score.folds < 2:
        return None
    reach = 2 * score.std / math.sqrt(score.folds)
    return max(0.0, score.accuracy - reach), min(1.0, score.accuracy + reach)


def _search(result: Result, trials: Sequence[Trial]) -> dict[str, Any]:
    """The search: every trial over time, the best of them in a table, what failed and why."""
    default = next((t.accuracy for t in trials if result.baseline and t.number == result.baseline.best.trial), None)
    dots = [
        Dot(x=t.started_s + t.seconds, y=t.accuracy, kind=t.regime, state=t.state, title=_trial_title(t))
        for t in trials
    ]
    scored = [t for t in trials if t.state == "complete" and not math.isnan(t.accuracy)]
    leaders = sorted(scored, key=lambda t: (t.log_loss, -t.accuracy, t.number))[:SHOWN_TRIALS]
    chosen = next((t for t in scored if t.number == result.best.trial), None)
    if chosen and chosen not in leaders:
        leaders = [chosen, *leaders[:-1]]
    ties = {tie.trial for tie in result.ties}
    return {
        "plot": _safe(report_plots.over_time(dots, default=default)),
        "regimes": [name for name in REGIMES if any(t.regime == name for t in trials)],
        "states": {t.state for t in trials},
        "leaders": [(t, t.number == result.best.trial, t.number in ties) for t in leaders],
        "failed": [t for t in trials if t.state == "failed"],
    }


def _trial_title(trial: Trial) -> str:
    what = f"{wording.trial(trial.number)}: {trial.candidate.strategy} on {trial.candidate.backbone}"
    if trial.state == "failed":
        return f"{what}, failed: {trial.error}"
    ending = "" if trial.state == "complete" else f", {trial.state}"
    return f"{what}, {wording.percent(trial.accuracy)} in {wording.duration(trial.seconds)}{ending}"


def _curves(result: Result, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Learning curves of the winner, the default and the best others that trained: four panels at most."""
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
            panels.append({"trial": trial, "name": name, "plot": _safe(drawing)})
    return panels[:4]


def _classes(test: TestScore | None) -> dict[str, Any] | None:
    """How each class fares on the locked test, and what is taken for what."""
    if test is None or not test.per_class:
        return None
    names = list(test.per_class)
    rows = [
        Bar(label=name, mark=score.recall, note=f"{wording.percent(score.recall, 0)} of {score.n}")
        for name, score in test.per_class.items()
        if score.recall is not None
    ]
    matrix = test.confusion
    square = len(matrix) == len(names) and all(len(row) == len(names) for row in matrix)
    return {
        "bars": _safe(report_plots.bars(rows)) if len(rows) <= 20 else "",
        "rows": sorted(
            test.per_class.items(), key=lambda item: (item[1].recall is None, item[1].recall or 0.0, item[0])
        ),
        "confusion": _safe(report_plots.confusion(names, matrix)) if square else "",
        "pairs": _pairs(names, matrix) if square and len(names) > 5 else [],
    }


def _pairs(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[tuple[str, str, int, int]]:
    """The commonest confusions: (true class, predicted class, images, images of the true class)."""
    size = len(names)
    pairs = [(matrix[i][j], i, j) for i in range(size) for j in range(size) if i != j and matrix[i][j]]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [(names[i], names[j], count, sum(matrix[i])) for count, i, j in pairs[:SHOWN_PAIRS]]


def _mistakes(result: Result, thumbnails: Mapping[str, bytes]) -> list[dict[str, Any]]:
    shown = []
    for mistake in result.mistakes:
        picture = thumbnails.get(mistake.path)
        shown.append({"mistake": mistake, "picture": _data_url(picture) if picture else ""})
    return shown


def _data_url(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _data(profile: Profile) -> dict[str, Any]:
    """The data set's profile: images per class and split, sizes, duplicates."""
    splits = list(profile.counts)
    totals = {name: sum(profile.counts[s].get(name, 0) for s in splits) for name in profile.classes}
    most = max(totals.values(), default=1)
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    rows = [Bar(label=name, mark=count, kind="quiet", note=wording.number(count)) for name, count in ordered]
    return {
        "bars": _safe(report_plots.bars(rows, most=most)) if len(rows) <= 20 else "",
        "splits": splits,
        "counts": [(name, [profile.counts[s].get(name, 0) for s in splits]) for name, _ in ordered],
        "quantiles": (("width, px", profile.width), ("height, px", profile.height), ("width / height", profile.aspect)),
        "leaks": sum(group.across for group in profile.duplicates),
        "contradictions": sum(group.labels_differ for group in profile.duplicates),
    }


def _extras(result: Result) -> list[tuple[str, Mapping[str, Any]]]:
    """Parts that only some runs have."""
    parts = (("Ensemble", wording.ensemble_facts(result.ensemble)), ("Target domain", result.target))
    return [(name, part) for name, part in parts if part]


def _kept(result: Result) -> dict[str, Any] | None:
    """What is left of the source: the measures, and accuracies at weights between start and tuned."""
    told = result.forgetting
    if told is None:
        return None
    new = [(b.share, b.accuracy) for b in told.blends if b.accuracy is not None]
    old = [(b.share, b.source) for b in told.blends if b.source is not None]
    lines = [
        Line(name=name, kind=kind, xs=[x for x, _ in points], ys=[y for _, y in points])
        for name, kind, points in (("this task, images held out", "valid", new), ("source, its own head", "train", old))
        if len(points) > 1
    ]
    return {"told": told, "lines": lines, "plot": _safe(report_plots.blends(lines))}
