"""What the data say where it takes a worker's time: the learning curve, within a small share of the budget.

In: a run whose test is scored. Out: the result with `forecast`, or with the reason why there is none. Nothing here is
chosen by the test set, and nothing fails a run. Does NOT cover: what predictions say without a worker (`insights`), the
measurements themselves (`execution.insight`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TypeVar

from advisor.errors import AdviseError, OutOfTimeError
from advisor.records import Candidate, Result, Trial
from advisor.records.messages import InsightMeasured, LearningCurveMeasured, MeasureLearningCurve
from advisor.runtime import durations
from advisor.tuning import budget, cost_model
from advisor.tuning.search_run import SearchRun

A = TypeVar("A", bound=InsightMeasured)
LEAST_S = 0.5  # below which nothing is begun
UNBOUNDED_S = 60.0  # for one measurement where there is no deadline


def add(result: Result, run: SearchRun, winner: Trial) -> Result:
    """Return the result with what there was time for."""
    ends = time.monotonic() + seconds_for_all(run)
    return _add_forecast(result, run, winner, ends)


def seconds_for_all(run: SearchRun) -> float:
    """Return the seconds that all measurements together may take."""
    if not run.facts.has_deadline:
        return UNBOUNDED_S
    return min(cost_model.insight_s(run.state()), run.clock.left_s - budget.FINISH_S / 2)


def _add_forecast(result: Result, run: SearchRun, winner: Trial, ends: float) -> Result:
    left_s = ends - time.monotonic()
    if left_s < LEAST_S:
        return replace(result, forecast_reason=_no_time(run))
    run.listener.stage("forecasting the accuracy with more images")
    job = MeasureLearningCurve(
        candidate=featured(run, winner),
        seed=run.facts.settings.seed,
        limit_s=left_s if run.facts.has_deadline else None,
    )
    try:
        measured = run.worker.ask(job, LearningCurveMeasured, run.listener.progress, deadline=ends)
    except OutOfTimeError:
        return replace(result, forecast_reason="it did not end in time")
    except AdviseError as error:
        return replace(result, forecast_reason=str(error))
    return replace(result, forecast=measured.forecast, forecast_reason=measured.reason or None)


def featured(run: SearchRun, winner: Trial) -> Candidate:
    """Return a candidate whose frozen features are at hand: the winner, or the best probe of its network, or of any."""
    if not run.facts.trains_backbone(winner.candidate):
        return winner.candidate
    own = [p for p in run.probes if p.candidate.backbone == winner.candidate.backbone]
    best = min(own or run.probes, key=lambda p: p.rank, default=winner)
    return best.candidate


def _no_time(run: SearchRun) -> str:
    asked_s = run.clock.asked_s or 0.0
    if not cost_model.insight_s(run.state()):
        return f"a budget of {durations.words(asked_s)} leaves no time for it"
    return "the budget was used up"
