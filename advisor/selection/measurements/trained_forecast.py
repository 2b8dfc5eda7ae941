"""Whether the winner itself is trained on parts of the images, so that the forecast is of it and not of heads.

In: a run at its end, with a forecast from heads. Out: the result with a forecast from the winner's own trainings where it
trains the network and nothing else needs the time; else the result as it was. Nothing is reserved for it during the search.
Does NOT cover: the measurement (`execution.insight.trained_curve`), the law (`insight.forecast`).
"""

from __future__ import annotations

import time
from dataclasses import replace

from advisor.data.splits import FOLDS
from advisor.errors import AdviseError
from advisor.execution import job_limit
from advisor.insight import forecast
from advisor.records import Result, Trial
from advisor.records.insight_messages import LearningCurveMeasured, MeasureTrainedCurve
from advisor.tuning import cost_model, policy
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchState

SHARES = forecast.SIZES[:-1]  # of a fold's images; the whole was trained by the search


def replace_heads(result: Result, run: SearchRun, winner: Trial) -> Result:
    """Return the result with a forecast from trainings of the winner; with that of heads where there is no time for it."""
    if result.forecast is None or not run.facts.trains_backbone(winner.candidate):
        return result
    rest_s = free_s(run) if run.facts.has_deadline else None
    ends = None if rest_s is None else time.monotonic() + rest_s
    try:
        job = plan_measurement(run, winner, rest_s)
        if job is None:
            return result
        run.listener.stage("training on parts of the images, for the forecast")
        measured = run.worker.ask(job, LearningCurveMeasured, run.listener.progress, deadline=ends)
    except AdviseError as error:
        run.rundir.log("forecast not trained", at_s=run.clock.used_s, error=str(error))
        return result
    return replace(result, forecast=measured.forecast or result.forecast)


def free_s(run: SearchRun) -> float:
    """Return the seconds that nothing else needs, at most a share of the budget."""
    share_s = policy.FORECAST_SHARE * (run.facts.settings.budget_s or 0.0)
    return min(share_s, run.clock.left_s - cost_model.writing_s(run.state()))


def plan_measurement(run: SearchRun, winner: Trial, rest_s: float | None) -> MeasureTrainedCurve | None:
    """Return the measurement on as many of the winner's folds as `rest_s` allows, None without a deadline.

    None if these folds hold out too few images to score it on.
    """
    folds = tuple(s.fold for s in winner.scores if s.repeat == 0)
    least = -(-policy.FORECAST_IMAGES // max(1, run.facts.images // FOLDS))
    limit_s = None
    if len(folds) < least:
        return None
    if rest_s is None:
        run.describe(sorted({t.candidate.backbone for t in _trained(run.state())}))
        count = _counted_folds(run.state(), winner)
    elif rest_s <= job_limit.GRACE_S:
        return None
    else:
        limit_s = job_limit.limit_within_s(rest_s)
        count = int(limit_s / (policy.FINISH_MARGIN * predicted_s(run.state(), winner, len(folds))))
    if count < least:
        return None
    return MeasureTrainedCurve(
        candidate=winner.candidate,
        seed=winner.scores[0].seed,
        folds=folds[:count],
        predictions=winner.predictions,
        fitted=winner.fitted,
        limit_s=limit_s,
    )


def predicted_s(state: SearchState, winner: Trial, folds: int) -> float:
    """Predict the seconds of one fold's trainings on parts, by how long the winner took for `folds` folds.

    A trial that went on from a checkpoint took less than a whole training: then the measured pace counts, if it is known.
    """
    whole_s = max(1e-3, winner.seconds / folds * state.speeds.slowdown)
    if winner.candidate.backbone in state.backbones:  # not so where a process only ends an earlier one's run
        whole_s = max(whole_s, cost_model.train_s(state, winner.candidate, state.fold_images))
    return sum(SHARES) * whole_s * state.settings.devices  # it trains on one device


def _counted_folds(state: SearchState, winner: Trial) -> int:
    """Count the folds that a share of the search's own trainings affords, both from cards, so that reruns agree."""
    searched_s = sum(len(t.scores) * cost_model.card_s(state, t.candidate, state.fold_images) for t in _trained(state))
    each_s = sum(cost_model.card_s(state, winner.candidate, round(share * state.fold_images)) for share in SHARES)
    return int(policy.FORECAST_SHARE * searched_s / max(each_s, 1e-9))


def _trained(state: SearchState) -> list[Trial]:
    return [t for t in state.trials if t.state == "complete" and state.trains_backbone(t.candidate)]
