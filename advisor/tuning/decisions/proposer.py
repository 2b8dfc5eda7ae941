"""What to try next: known-good guesses, shortened second tries, paused trials that rank better by now, then samples.

In: a `SearchState` whose probes are done, and the ends of earlier proposals. Out: one candidate after another; None where
nothing more is worth a trial for now. Does NOT cover: running them (`search`), what things cost (`cost_model`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from advisor.hooks import Strategy
from advisor.records import Candidate, StoppedBecause, Trial
from advisor.tuning import cost_model, epoch_budget, policy, pruner
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions import probe_order, stopping
from advisor.tuning.decisions.acquisition import expected_gain
from advisor.tuning.decisions.portfolio import AffordableGuess, GuessVariants, MeasurePace, Portfolio, first_that_fits
from advisor.tuning.search_state import SearchState

# Draws a candidate on one of these backbones from one of these strategies; another number is another draw.
Draw = Callable[[Sequence[BackboneAtSize], Mapping[str, Strategy], SearchState, int], Candidate]


class Proposer:
    """Proposes candidates. Report to it which number each got (`begun`) and how it ended (`ended`)."""

    def __init__(self, state: SearchState, first: Candidate, backbones: Sequence[BackboneAtSize], draw: Draw) -> None:
        self.backbones = list(backbones)
        self.draw = draw
        self.portfolio = Portfolio(state, first, backbones)
        self.to_shorten: deque[GuessVariants] = deque()  # guesses that were too slow, to be tried once more, shortened
        self._proposed: GuessVariants = []  # the guess that the last proposal was made from, on all of its backbones
        self._first_tries: dict[int, GuessVariants] = {}
        contexts = [state.context(*at) for at in backbones]
        self.usable = {
            n: s for n, s in state.strategies.items() if all(s.applies(context) is None for context in contexts)
        }

    def next(self, state: SearchState) -> Candidate | MeasurePace | None:
        """Return the next candidate; None where nothing is worth a trial unless one that is under way changes that."""
        self._proposed = []
        if state.trials_left <= 0:
            return None
        return (
            self._shorten(state)
            or self._take_guess(state)
            or _promote(state)
            or self._sample(state)
            or _lengthen(state)
        )

    def add(self, state: SearchState, at: BackboneAtSize) -> None:
        """Add a backbone and size that was probed later to the search."""
        if at in probe_order.shortlist(state):
            self.portfolio.add(state, at)

    def stopped(self, state: SearchState) -> StoppedBecause:
        """Return why nothing more is proposed."""
        return stopping.explain(state, self.portfolio.left(state), trials_left=state.trials_left, stale=_stale(state))

    def begun(self, number: int) -> None:
        """Record under which number the last proposal runs."""
        if self._proposed:
            self._first_tries[number] = self._proposed

    def ended(self, trial: Trial) -> None:
        """Record how a trial ended: what was given up as too slow has shown the true speed, a shorter one may fit."""
        entry = self._first_tries.pop(trial.number, None)
        if entry is not None and trial.needs_s:
            self.to_shorten.append(entry)

    def _shorten(self, state: SearchState) -> Candidate | None:
        while self.to_shorten:
            shorter = (s for c in self.to_shorten.popleft() if (s := epoch_budget.shortened(state, c)) is not None)
            chosen = next((s for s in shorter if not state.tried(s)), None)
            if chosen is not None:
                return chosen
        return None

    def _take_guess(self, state: SearchState) -> Candidate | MeasurePace | None:
        guess = self.portfolio.next(state)
        if not isinstance(guess, AffordableGuess):
            return guess
        self._proposed = guess.entry
        return guess.candidate

    def _sample(self, state: SearchState) -> Candidate | None:
        """Sample a candidate that is new and fits into the time; None where a few draws give none."""
        if not self.usable or _stale(state) >= policy.PATIENCE_TRIALS or _must_finish(state):
            return None
        for attempt in range(policy.SAMPLER_DRAWS):
            drawn = self.draw(self.backbones, self.usable, state, attempt)
            candidate = first_that_fits(state, [drawn])
            if candidate is not None and not state.tried(candidate):
                return candidate
        return None


def _promote(state: SearchState) -> Candidate | None:
    """Continue a paused trial that ranks better among the others by now."""
    candidate = pruner.promotion(state.trials, state.begun)
    return candidate if candidate is not None and cost_model.fits_time(state, candidate) else None


def _lengthen(state: SearchState) -> Candidate | None:
    """Train the best trained candidate for longer, if time is left and its expected gain is worth it."""
    trained = [t for t in state.trials if t.state == "complete" and t.steps and "epochs" in t.candidate.parameters]
    best = min(trained, key=lambda t: t.rank, default=None)
    epochs = None if best is None else epoch_budget.length(state, best.candidate)
    if best is None or epochs is None or not state.has_deadline:
        return None
    longer = epoch_budget.of_length(state, best.candidate, policy.LONGER * epochs)
    whole = replace(longer, origin="longer", continues=None)
    candidate = epoch_budget.fitted(state, _within_card(state, whole))
    if candidate is None or candidate.parameters["epochs"] < policy.LEAST_LONGER * epochs:
        return None
    if state.tried(candidate) or expected_gain(state, candidate)[0] < policy.MIN_IMPROVEMENT:
        return None
    return candidate


def _within_card(state: SearchState, candidate: Candidate) -> Candidate:
    """Limit the epochs to the range on the strategy's card."""
    card = state.strategy_of(candidate).card
    high = next((p.high for p in getattr(card, "parameters", ()) if p.name == "epochs" and p.high is not None), None)
    epochs = candidate.parameters["epochs"]
    return candidate if high is None or epochs <= high else epoch_budget.of_length(state, candidate, float(high))


def _stale(state: SearchState) -> int:
    """Count the sampled trials since the last one that was better than all before it."""
    best, stale = min((p.loss for p in state.probes if state.is_asked_for(p.candidate)), default=float("inf")), 0
    for trial in state.trials:
        better = trial.state == "complete" and trial.loss < best
        best = min(best, trial.loss) if better else best
        stale = 0 if better or trial.candidate.origin != "sampled" else stale + 1
    return stale


def _must_finish(state: SearchState) -> bool:
    """Return True if the time left is needed for re-evaluating the leaders and for the end."""
    best = state.best()
    if not state.has_deadline or best is None:
        return False
    return state.left_s - cost_model.rescoring_s(state) < cost_model.finish_s(state, best.candidate)
