"""What the data show where it takes a worker's time: learning curve, map, where the model looks; in a share of the budget.

In: a run whose test is scored. Out: the result with `forecast` (or the reason why there is none), neighbours of suspects and
`attention`, and pictures for the report. Nothing here is chosen by the test set, and nothing fails a run. Does NOT cover: what
predictions say without a worker (`insights`), the measurements themselves (`execution.insight`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from advisor.errors import AdviseError, OutOfTimeError
from advisor.metrics import classification
from advisor.records import Candidate, Item, Result, Trial
from advisor.records.insight_messages import (
    Explain,
    Explained,
    FeaturesMapped,
    Insight,
    InsightMeasured,
    LearningCurveMeasured,
    MapFeatures,
    MeasureLearningCurve,
)
from advisor.reporting.charts.evidence_plots import MapPoint
from advisor.runtime import durations, stored_arrays
from advisor.selection import result_builder
from advisor.selection.measurements import trained_forecast
from advisor.tuning import budget, cost_model
from advisor.tuning.search_run import SearchRun

A = TypeVar("A", bound=InsightMeasured)
LEAST_S = 0.5  # below which nothing is begun
UNBOUNDED_S = 60.0  # for one measurement where there is no deadline
CURVE_SHARE, MAP_SHARE = 0.35, 0.5  # of the time left for all, for each of the first two
TYPICAL = 8  # images of each class
MOST_CLASSES = 12  # whose images are looked at


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What only the report shows: maps of where the model looks, by path, and the images by their features."""

    heatmaps: Mapping[str, bytes] = field(default_factory=dict)
    feature_map: tuple[MapPoint, ...] = ()
    map_method: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        """The arguments of `report.render` that show them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, kw_only=True)
class _OutOfFold:
    """The winner's predictions of pool images by models that were not trained on them."""

    rows: np.ndarray
    labels: np.ndarray
    probabilities_NK: np.ndarray


def add(
    result: Result, run: SearchRun, context: result_builder.RunContext, winner: Trial, folder: Path
) -> tuple[Result, Pictures]:
    """Return the result with what there was time for, and pictures; `folder` holds the final model."""
    ends = time.monotonic() + seconds_for_all(run)
    result = _add_forecast(result, run, winner, ends)
    saved = stored_arrays.read(run.rundir.path / winner.predictions)
    probabilities = classification.probabilities(saved["logits"], temperature=winner.temperature)
    held_out = _OutOfFold(rows=saved["rows"], labels=saved["labels"], probabilities_NK=probabilities)
    result, points, method = _add_map(result, run, context, winner, held_out, ends)
    result, heatmaps = _add_attention(result, run, context, held_out, folder, ends)
    result = trained_forecast.replace_heads(result, run, winner)  # last: it may take what nothing else needs
    return result, Pictures(heatmaps=heatmaps, feature_map=points, map_method=method)


def seconds_for_all(run: SearchRun) -> float:
    """Return the seconds that all measurements together may take."""
    if not run.facts.has_deadline:
        return UNBOUNDED_S
    return min(cost_model.insight_s(run.state()), run.clock.left_s - budget.FINISH_S / 2)


def _ask(run: SearchRun, job: Insight, kind: type[A], ends: float) -> A | str:
    """Run a measurement; return its answer, or why there is none.

    A measurement ends by its own limit, after the batch that it is in; the end of the budget cuts it off without an answer.
    """
    now = time.monotonic()
    if ends - now < LEAST_S:
        return _no_time(run)
    deadline = max(ends, now + run.clock.left_s - budget.FINISH_S / 2) if run.facts.has_deadline else ends
    try:
        return run.worker.ask(job, kind, run.listener.progress, deadline=deadline)
    except OutOfTimeError:
        return "it did not end in time"
    except AdviseError as error:
        return str(error)


def _add_forecast(result: Result, run: SearchRun, winner: Trial, ends: float) -> Result:
    run.listener.stage("forecasting the accuracy with more images")
    limit_s = CURVE_SHARE * (ends - time.monotonic())
    job = MeasureLearningCurve(candidate=featured(run, winner), seed=run.facts.settings.seed, limit_s=limit_s)
    measured = _ask(run, job, LearningCurveMeasured, ends)
    if isinstance(measured, str):
        return replace(result, forecast_reason=measured)
    return replace(result, forecast=measured.forecast, forecast_reason=measured.reason or None)


def _add_map(
    result: Result,
    run: SearchRun,
    context: result_builder.RunContext,
    winner: Trial,
    held_out: _OutOfFold,
    ends: float,
) -> tuple[Result, tuple[MapPoint, ...], str]:
    """Add the neighbours that speak against suspicious labels, and lay the pool's images out."""
    pool, classes = context.used.pool, result.dataset.classes
    shown = result.suspects.first if result.suspects else ()
    row_of = {item.path: row for row, item in enumerate(pool)}
    run.listener.stage("comparing images by their features")
    job = MapFeatures(
        candidate=featured(run, winner),
        seed=run.facts.settings.seed,
        rows=tuple(row_of[one.path] for one in shown),
        limit_s=MAP_SHARE * (ends - time.monotonic()) if run.facts.has_deadline else None,
    )
    mapped = _ask(run, job, FeaturesMapped, ends)
    if isinstance(mapped, str):
        return result, (), ""
    if result.suspects is not None and shown:
        first = tuple(
            replace(one, neighbours=tuple(pool[row].path for row in near))
            for one, near in zip(shown, mapped.neighbours, strict=True)
        )
        result = replace(result, suspects=replace(result.suspects, first=first))
    predicted = {
        int(row): int(k) for row, k in zip(held_out.rows, held_out.probabilities_NK.argmax(axis=1), strict=True)
    }
    points = tuple(
        MapPoint(
            x=x,
            y=y,
            label=classes[pool[row].label],
            predicted=classes[predicted.get(row, pool[row].label)],
            path=pool[row].path,
        )
        for row, x, y in mapped.points
    )
    return result, points, mapped.method


def _add_attention(
    result: Result,
    run: SearchRun,
    context: result_builder.RunContext,
    held_out: _OutOfFold,
    folder: Path,
    ends: float,
) -> tuple[Result, Mapping[str, bytes]]:
    """Add where the final model looks, with a warning where a small region decides a class."""
    run.listener.stage("drawing where the network looks")
    ends = ends_for_maps(run, ends)
    classes = result.dataset.classes
    tests = {item.path: item for item in context.used.test}
    mistakes = [one for one in result.mistakes if one.path in tests]
    job = Explain(
        folder=str(folder),
        mistakes=tuple(tests[one.path] for one in mistakes),
        predicted=tuple(classes.index(one.predicted) for one in mistakes),
        typical=typical(context.used.pool, held_out, len(classes)),
        limit_s=ends - time.monotonic() - LEAST_S if run.facts.has_deadline else UNBOUNDED_S / 3,
    )
    explained = _ask(run, job, Explained, ends)
    if isinstance(explained, str):
        return replace(result, attention_reason=explained), {}
    flagged = [one for one in explained.attention.classes if one.shortcut] if explained.attention else []
    warnings = [
        f"possible shortcut: a small region decides {one.label}; put into images of other classes it makes "
        f"{100 * one.transplanted:.0f} % of them {one.label} (see the report)"
        for one in flagged
    ]
    result = replace(result, attention=explained.attention, attention_reason=explained.reason or None)
    return replace(result, warnings=(*result.warnings, *warnings)), explained.pictures


def ends_for_maps(run: SearchRun, ends: float) -> float:
    """Return when the maps must end: with the share of all, or as long again where the run has time that nothing else needs.

    On a slow machine forecast and map of the images take more than their part of a short share, and left nothing for this.
    """
    if not run.facts.has_deadline:
        return ends
    state = run.state()
    spare_s = min(cost_model.insight_s(state), run.clock.left_s - cost_model.writing_s(state))
    return max(ends, time.monotonic() + spare_s)


def typical(pool: tuple[Item, ...], held_out: _OutOfFold, classes: int) -> tuple[tuple[Item, ...], ...]:
    """Return the surest rightly classified images of the largest classes, `TYPICAL` of each; () for the others."""
    sure_N = held_out.probabilities_NK[np.arange(len(held_out.rows)), held_out.labels]
    right_N = held_out.probabilities_NK.argmax(axis=1) == held_out.labels
    counts = np.bincount(held_out.labels, minlength=classes)
    largest = set(np.argsort(-counts, kind="stable")[:MOST_CLASSES].tolist())
    result = []
    for label in range(classes):
        own = np.flatnonzero(right_N & (held_out.labels == label)) if label in largest else np.zeros(0, dtype=int)
        order = own[np.argsort(-sure_N[own], kind="stable")][:TYPICAL]
        result.append(tuple(pool[int(held_out.rows[at])] for at in order))
    return tuple(result)


def featured(run: SearchRun, winner: Trial) -> Candidate:
    """Return a candidate whose frozen features are available: the winner, or the best probe of its network, or of any."""
    if not run.facts.trains_backbone(winner.candidate):
        return winner.candidate
    own = [p for p in run.probes if p.candidate.backbone == winner.candidate.backbone]
    best = min(own or run.probes, key=lambda p: p.rank, default=winner)
    return best.candidate


def _no_time(run: SearchRun) -> str:
    asked_s = run.clock.asked_s or 0.0
    if not cost_model.insight_s(run.state()):
        return f"a budget of {durations.words(asked_s)} leaves no time for it"
    return "the share of the budget that is kept for it was used up"
