"""In the time that a run leaves over, another network is trained as the winner was, to join it in an ensemble.

In: a winner that was trained, beside which no ensemble is offered: heads on frozen features are too far behind it. Out: one
more trial, on another network, on images that the winner was scored on too; None where there is no such network, or no time.
The verdict is settled by then: the trial may join the winner, and cannot take its place. Does NOT cover: which members
join (`ensemble`), the verdict (`verdict`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from advisor.errors import AdviseError, OutputError
from advisor.records import Candidate, Trial
from advisor.tuning import candidates, cost_model, epoch_budget, pace, policy, search
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions import acquisition
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchState


@dataclass(frozen=True)
class Plan:
    """What is trained, on which of the winner's folds, and the seconds that it may take."""

    candidate: Candidate
    folds: tuple[int, ...]
    limit_s: float


def train(run: SearchRun, winner: Trial) -> Trial | None:
    """Train a member for the ensemble and return its trial; None where none is worth it or fits, or if it fails.

    Raises OutputError where the disk is full.
    """
    try:
        chosen = plan(run.state(), winner)
        if chosen is not None and not cost_model.has_pace(run.state(), chosen.candidate):
            pace.measure(run, chosen.candidate)
            chosen = plan(run.state(), winner)
        if chosen is None:
            return None
        c = chosen.candidate
        run.listener.stage(f"training {c.strategy} on {c.backbone} at {c.size_px} px for an ensemble")
        trial = search.train_one(run, c, folds=chosen.folds, limit_s=chosen.limit_s)
    except OutputError:
        raise
    except AdviseError as error:  # of a plugin, perhaps: it costs the ensemble, never the run
        run.listener.note(f"no ensemble: {error}")
        return None
    return trial if trial.state == "complete" else None


def plan(state: SearchState, winner: Trial) -> Plan | None:
    """Choose the network that is expected to get nearest to the winner; None where none is near, or none fits."""
    offered = state.has_deadline and state.images < policy.ENSEMBLE_IMAGES and not state.costs.limited
    if not offered or state.trials_left <= 0 or not state.trains_backbone(winner.candidate):
        return None
    plans = [p for guess in _guesses(state, winner) if (p := _fitted(state, winner, guess)) is not None]
    losses = [acquisition.expected_loss_of(state, p.candidate) for p in plans]
    lowest = min(losses, default=math.inf)
    return plans[losses.index(lowest)] if lowest <= policy.MEMBER_BEHIND * winner.loss else None


def _guesses(state: SearchState, winner: Trial) -> Iterator[Candidate]:
    """Yield the first guess of the winner's strategy on every other network that was probed and not trained yet."""
    name = winner.candidate.strategy
    trained = {t.candidate.backbone for t in (winner, *state.trials) if state.trains_backbone(t.candidate)}
    for at in dict.fromkeys(BackboneAtSize.of(p.candidate) for p in state.probes):
        if at.name in trained:
            continue
        strategy = {name: state.strategy_of(winner.candidate)}
        for guess in candidates.guesses(strategy, state.context(*at), backbone=at.name, size_px=at.size_px):
            if state.takes_squares_of(guess, winner.candidate):
                yield guess


def _fitted(state: SearchState, winner: Trial, guess: Candidate) -> Plan | None:
    """Plan a guess whole, on as many of the winner's folds as fit, else shortened on the first of them.

    The end of the run comes first, with the winner's refit if that fits as things are.
    """
    folds = tuple(s.fold for s in winner.scores if s.repeat == 0)
    refit = cost_model.finish_s(state, winner.candidate, beside=()) <= state.left_s
    end_s = cost_model.finish_s(state, winner.candidate, refit=refit, beside=(guess,))
    limit_s = state.left_s - end_s
    share = policy.FILL_SHARE_MEASURED if cost_model.has_pace(state, guess) else policy.FILL_SHARE

    def fits(candidate: Candidate, count: int = 1) -> bool:
        return count * cost_model.train_s(state, candidate, state.fold_images) <= share * limit_s

    for count in range(len(folds), 0, -1):
        if fits(guess, count):
            return Plan(guess, folds[:count], limit_s)
    whole = epoch_budget.length(state, guess)
    epochs = None if whole is None else epoch_budget.longest(state, guess, whole, fits)
    return None if epochs is None else Plan(epoch_budget.of_length(state, guess, epochs), folds[:1], limit_s)
