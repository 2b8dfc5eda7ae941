"""The acquisition function: what a candidate is expected to gain over the best so far, by which the search decides.

In: a `SearchState` and a candidate. Out: expected improvement of the log-loss's logarithm, and the probability of any; the
reasons for the end of a search state the same numbers. Does NOT cover: the expectation itself (`tuning.expected_loss`), in
which order candidates are considered (`portfolio`, `proposer`).
"""

from __future__ import annotations

import math

from advisor.records import Candidate
from advisor.tuning import epoch_budget, expected_loss
from advisor.tuning.search_state import SearchState


def expected_gain(state: SearchState, candidate: Candidate) -> tuple[float, float]:
    """Return the expected decrease of the best log-loss's logarithm, and the probability of any decrease.

    This is the acquisition function: the search decides by it, and the reasons for its end state the same numbers.
    """
    loss = expected_loss_of(state, candidate)
    best = state.best()
    lowest = best.loss if best is not None else math.inf
    spread = expected_loss.spread(epoch_budget.steps(state, candidate), state.trials)
    return expected_loss.improvement(loss, spread, lowest), expected_loss.probability(loss, spread, lowest)


def expected_loss_of(state: SearchState, candidate: Candidate) -> float:
    """Return the log-loss that a candidate is expected to reach, infinite where its backbone and size was not probed."""
    steps = epoch_budget.steps(state, candidate)
    names = {*state.registry.backbones, *state.backbones}  # with those that a plugin resolved by name
    published = {name: state.registry.backbone(name).published_accuracy for name in names}
    regime = state.strategy_of(candidate).regime
    return expected_loss.expected(
        candidate, regime, steps, state.probes, state.trials, published, experience=state.experience
    )
