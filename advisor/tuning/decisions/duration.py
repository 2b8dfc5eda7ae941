"""How long a run without a deadline will take: the trials that are left, the leaders again, the refits and the test.

In: a `SearchState` after the probes, the guesses that wait. Out: seconds, by the cost model. Nothing is decided by them:
`--trials` stays free of clocks. Does NOT cover: what things cost (`cost_model`), showing it (`cli`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.records import Candidate
from advisor.tuning import cost_model, policy
from advisor.tuning.decisions import acquisition, portfolio, probe_order
from advisor.tuning.search_state import SearchState

# A training's pace guessed from a frozen pass was off by up to 1.5 (docs/decisions.md); one that was measured here by less.
GUESSED, MEASURED = 1.5, 1.15
HEAD_AGAIN_S = 0.5  # fitting and scoring a head on five new folds, its features available (chosen)


@dataclass(frozen=True)
class Duration:
    """Predicted seconds until the end of a run, and what they may grow to where paces are not measured yet."""

    seconds: float
    at_most_s: float

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.seconds + other.seconds, self.at_most_s + other.at_most_s)

    def times(self, factor: float) -> Duration:
        """Return a multiple."""
        return Duration(factor * self.seconds, factor * self.at_most_s)


NONE = Duration(0.0, 0.0)


def remaining(state: SearchState, waiting: Sequence[Candidate]) -> Duration:
    """Predict the seconds until the end: the trials left (guesses that wait, then samples), and what follows them."""
    count = int(state.trials_left) if state.settings.trials is not None else 0
    ahead = list(waiting)[:count]
    trials = sum((_trial(state, c) for c in ahead), NONE)
    samples = count - len(ahead)
    if samples > 0:
        trials += _sample(state).times(samples)
    return trials + _end(state, ahead)


def _trial(state: SearchState, candidate: Candidate) -> Duration:
    """Predict one trial on all of its folds."""
    if state.probe_of(candidate) is not None:
        return NONE  # its scores are there
    if not state.trains_backbone(candidate):
        return _uncertain(state, candidate, cost_model.train_s(state, candidate, state.images))
    folds = len(cost_model.folds_for(state, candidate))
    return _uncertain(state, candidate, folds * cost_model.train_s(state, candidate, state.fold_images))


def _uncertain(state: SearchState, candidate: Candidate, seconds: float) -> Duration:
    measured = not state.trains_backbone(candidate) or cost_model.has_pace(state, candidate)
    return Duration(seconds, (MEASURED if measured else GUESSED) * seconds)


def _sample(state: SearchState) -> Duration:
    """Predict a sampled trial: the mean over all strategies' first guesses where samples are drawn."""
    costs = [
        _trial(state, guess) for at in probe_order.shortlist(state) for guess in portfolio.first_guesses(state, at)
    ]
    if not costs:
        return NONE
    return Duration(statistics.fmean(c.seconds for c in costs), statistics.fmean(c.at_most_s for c in costs))


def _end(state: SearchState, ahead: Sequence[Candidate]) -> Duration:
    """Predict what follows the search: the leaders again on new folds, the refits of winner and default, the test."""
    reached = [(t.loss, t.number, t.candidate) for t in state.contenders()]
    hoped = [
        (acquisition.expected_loss_of(state, c), number, c) for number, c in enumerate(ahead, start=len(state.begun))
    ]
    leaders = [c for _, _, c in sorted([*reached, *hoped], key=lambda one: one[:2])[: policy.LEADERS]]
    if not leaders:
        return NONE
    again = sum((_again(state, c) for c in leaders), NONE)
    return again + _uncertain(state, leaders[0], cost_model.finish_s(state, leaders[0]))


def _again(state: SearchState, candidate: Candidate) -> Duration:
    """Predict evaluating a leader again: a trained one on the folds of its trial, a head twice on all of them."""
    if state.trains_backbone(candidate):
        return _trial(state, candidate)
    return Duration(2 * HEAD_AGAIN_S, 2 * MEASURED * HEAD_AGAIN_S)
