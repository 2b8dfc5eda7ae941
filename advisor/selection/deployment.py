"""What the winner costs where it runs, beside the other networks that were scored; and what a limit cost in score.

In: a finished search with its table of costs, the refitted winner. Out: `LimitsReport` for the result, `Limits` for the
recipe. The winner's own graph is measured if there is a limit, or with a deadline if enough time is left; everything else is
predicted unless it was measured before. Does NOT cover: keeping the limits, which the search does (`tuning.limits`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advisor.errors import AdviseError
from advisor.exporting.latency import THREADS
from advisor.records import Result, Trial
from advisor.records.limits import CostedModel, GraphCost, LimitsReport
from advisor.records.messages import GraphMeasured, MeasureGraph
from advisor.records.recipe import Limits, Recipe
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.limits import fits_limits
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchState

SPARE_S = 30.0  # of the budget that measuring leaves to what follows
SHARE = 0.15  # of the budget, that measuring it may take
GUESSED_S = 20.0  # of tracing, exporting and running a small network's graph


def report(run: SearchRun, winner: Trial, folder: Path) -> LimitsReport:
    """Return the costs of the winner, whose refitted model is in `folder`, and of the best trial of every network and size."""
    settings = run.facts.settings
    cost = _winner(run, run.state(), winner, folder)
    state = run.state()
    models = mark_efficient([_costed(state, t, winner, cost) for t in _best_of_each(state, winner)])
    broken = [m for m in models if not m.within]
    best_broken = min(broken, key=lambda m: (m.loss, m.trial), default=None)
    shipped = next(m for m in models if m.shipped)
    without = best_broken if best_broken is not None and best_broken.loss < shipped.loss else None
    return LimitsReport(
        max_ms=settings.max_ms,
        max_mb=settings.max_mb,
        threads=THREADS,
        cost=cost,
        models=tuple(models),
        without=without,
    )


def contenders_within_limits(run: SearchRun) -> tuple[Trial, ...]:
    """Return what may win, after the leading network was measured: one that was only predicted to keep a limit may break it.

    All contenders where none keeps the limits when measured; the result then warns (`add`).
    """
    costs, contenders = run.facts.costs, run.state().contenders()
    while costs.limited and contenders:
        leader = BackboneAtSize.of(min(contenders, key=lambda t: t.rank).candidate)
        if leader in costs.measured:
            break
        run.listener.stage(f"measuring {leader.name} at {leader.size_px} px")
        cost = fits_limits.measured(run.worker, leader.name, leader.size_px, run.listener)
        costs.learn(run.facts.registry.backbone(leader.name), leader.size_px, cost)
        fits_limits.write(run.rundir, costs)
        within = run.state().contenders()
        if not within:
            break
        contenders = within
    return contenders


def add(result: Result, measured: LimitsReport) -> Result:
    """Return the result with the costs, and a warning where the final measurement exceeds a limit that the search kept."""
    cost, warnings = measured.cost, result.warnings
    for option, limit, value, unit in (
        ("--max-ms", measured.max_ms, cost.ms, "ms"),
        ("--max-mb", measured.max_mb, cost.mb, "MB"),
    ):
        if limit is not None and value is not None and value > limit:
            warnings = (
                *warnings,
                f"the model took {value:.2f} {unit} when it was measured at the end, above {option} {limit:g}: "
                "this machine's speed varies, so leave a margin",
            )
    return replace(result, limits=measured, warnings=warnings)


def with_limits(recipe: Recipe, measured: LimitsReport) -> Recipe:
    """Return the recipe with the limits of the run and what the model costs; unchanged without limits."""
    if measured.max_ms is None and measured.max_mb is None:
        return recipe
    cost = measured.cost
    return replace(
        recipe, limits=Limits(max_ms=measured.max_ms, max_mb=measured.max_mb, ms=cost.ms, mb=cost.mb, threads=THREADS)
    )


def _winner(run: SearchRun, state: SearchState, winner: Trial, folder: Path) -> GraphCost:
    """Return the measured cost of the winner's own graph; the predicted one where it is not measured."""
    predicted = state.graph_cost(winner.candidate)
    settings, left_s = run.facts.settings, run.clock.left_s
    affordable = (
        settings.budget_s is not None and SHARE * settings.budget_s >= GUESSED_S and left_s > GUESSED_S + SPARE_S
    )
    if not fits_limits.can_measure() or not (run.facts.costs.limited or affordable):
        return predicted
    run.listener.stage("measuring the exported model on one thread")
    try:
        job = MeasureGraph(folder=str(folder))
        cost = run.worker.ask(job, GraphMeasured, run.listener.progress, deadline=_deadline(run)).cost
    except AdviseError as error:
        run.listener.note(f"the exported model was not measured: {error.what}")
        return predicted
    if not run.facts.costs.measured and predicted.ms and cost.ms:  # it tells how fast this machine is, for the others
        run.facts.costs.ratios[winner.candidate.backbone] = [cost.ms / predicted.ms]
    return cost


def _deadline(run: SearchRun) -> float | None:
    """Return the time.monotonic() at which measuring gives up; None where the run has no deadline."""
    if not run.facts.has_deadline:
        return None
    return time.monotonic() + max(GUESSED_S, run.clock.left_s - SPARE_S)


def _best_of_each(state: SearchState, winner: Trial) -> list[Trial]:
    """Return the best scored trial of every network and size, the winner for its own."""
    best = {BackboneAtSize.of(winner.candidate): winner}
    for trial in sorted(state.scored(), key=lambda t: t.rank):
        best.setdefault(BackboneAtSize.of(trial.candidate), trial)
    return list(best.values())


def _costed(state: SearchState, trial: Trial, winner: Trial, cost: GraphCost) -> CostedModel:
    shipped, candidate = trial is winner, trial.candidate
    return CostedModel(
        trial=trial.number,
        backbone=candidate.backbone,
        size_px=candidate.size_px or state.registry.backbone(candidate.backbone).preprocess.size,
        strategy=candidate.strategy,
        accuracy=trial.accuracy,
        loss=trial.loss,
        cost=cost if shipped else state.graph_cost(candidate),
        within=shipped or state.keeps_limits(candidate),
        shipped=shipped,
    )


def mark_efficient(models: Sequence[CostedModel]) -> list[CostedModel]:
    """Return the models, cheapest first, those on the Pareto front of loss, milliseconds and megabytes marked."""

    def values(model: CostedModel) -> tuple[float, float, float]:
        unknown = float("inf")
        ms, mb = model.cost.ms, model.cost.mb
        return model.loss, unknown if ms is None else ms, unknown if mb is None else mb

    def dominated(model: CostedModel) -> bool:
        own = values(model)
        return any(
            all(a <= b for a, b in zip(values(other), own, strict=True)) and values(other) != own for other in models
        )

    ordered = sorted(models, key=lambda m: (values(m)[1], values(m)[2], m.trial))
    return [replace(model, efficient=not dominated(model)) for model in ordered]
