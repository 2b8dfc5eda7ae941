"""How long a run by --trials will take: said after the probes, and less with every trial that ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import searches

from advisor.records import Candidate, FoldScore, Trial
from advisor.records.trials import regime_name
from advisor.tuning import cost_model, epoch_budget
from advisor.tuning.decisions import acquisition, duration, portfolio
from advisor.tuning.search_state import SearchState
from advisor.tuning.trials.study import key

RIDGE = Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=64)


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchState]:
    """A search of four trials without a deadline on 48 crops, whose ridge probe is done."""
    with searches.on_crops(tmp_path_factory.mktemp("duration")) as run:
        run.describe(["pocket"])
        state = run.state()
        score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=1.0)
        probe = Trial(
            number=-1, candidate=RIDGE, regime="feature_extraction", state="complete", scores=(score,), seconds=0.1
        )
        yield replace(
            state,
            settings=replace(state.settings, budget_s=None, trials=4),
            strategies={n: state.registry.strategies[n] for n in ("ridge", "logistic", "full")},
            sizes={"pocket": (64,)},
            probes=(probe,),
            left_s=math.inf,
        )


def waiting(state: SearchState) -> list[Candidate]:
    """List the first guesses that were not tried."""
    at = portfolio.BackboneAtSize("pocket", 64)
    return [g for g in portfolio.first_guesses(state, at) if not state.tried(g)]


def tried(state: SearchState, candidate: Candidate) -> SearchState:
    """Return the state with one more trial, which reached what was expected of it."""
    score = FoldScore(
        fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=acquisition.expected_loss_of(state, candidate)
    )
    trial = Trial(
        number=len(state.begun),
        candidate=candidate,
        regime=regime_name(state.strategy_of(candidate).regime),
        state="complete",
        scores=(score,),
        steps=epoch_budget.steps(state, candidate),
        seconds=0.1,
    )
    return replace(
        state,
        begun=(*state.begun, candidate),
        tried_keys=state.tried_keys | {key(candidate)},
        trials=(*state.trials, trial),
    )


def test_a_training_that_waits_is_counted_on_all_of_its_folds(probed: SearchState) -> None:
    """One trial of one full fine-tuning: its folds, the same again for a leader, and the end; half as much again at most."""
    state = replace(probed, settings=replace(probed.settings, trials=1))
    (full,) = [c for c in waiting(state) if c.strategy == "full"]
    folds_s = len(cost_model.folds_for(state, full)) * cost_model.train_s(state, full, state.fold_images)
    remaining = duration.remaining(state, [full])
    assert remaining.seconds == pytest.approx(
        2 * folds_s + 2 * duration.HEAD_AGAIN_S + cost_model.finish_s(state, full)
    )
    assert remaining.at_most_s > 1.4 * remaining.seconds


def test_time_left_falls_with_every_trial(probed: SearchState) -> None:
    """What has ended is counted no more; trials beyond the guesses are samples, which cost their mean."""
    remaining, state = list[float](), probed
    for candidate in waiting(probed):
        remaining.append(duration.remaining(state, waiting(state)).seconds)
        state = tried(state, candidate)
    remaining.append(duration.remaining(state, waiting(state)).seconds)
    assert remaining == sorted(remaining, reverse=True)
    assert remaining[-1] < remaining[0]
    more = replace(probed, settings=replace(probed.settings, trials=400))
    assert duration.remaining(more, waiting(more)).seconds > 20 * remaining[0]
