"""Known-good guesses, one after another: in a fixed order without a deadline, else by expected improvement in the time left.

In: a `SearchState` whose probes are done. Out: the next guess on the backbones where it may be tried, or a training whose pace
must be measured first. With a deadline, what costs next to nothing comes first: heads where the probe was best, and elsewhere
those that are expected to improve. Then comes whatever has the highest expected improvement of the log-loss in the time that
is left, shortened where it must be, the first training on the network of the highest published accuracy. Guesses that are not
expected to improve on the best so far are left to the sampler.
Does NOT cover: samples and second tries (`proposer`), the expectation (`expected_loss`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.records import Candidate
from advisor.records.trials import DEFAULT
from advisor.tuning import candidates, cost_model, epoch_budget, expected_loss, policy
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions.acquisition import expected_gain
from advisor.tuning.search_state import SearchState

GuessVariants = list[Candidate]  # one guess on one backbone after another; the first that fits into the time is tried


@dataclass(frozen=True)
class MeasurePace:
    """Time a few steps of this candidate's training, then ask again: what is chosen depends on its pace."""

    candidate: Candidate


@dataclass(frozen=True)
class AffordableGuess:
    """A guess that fits into the time, and the entry that it was made from."""

    candidate: Candidate
    entry: GuessVariants


@dataclass(frozen=True)
class _Option:
    """A guess that fits into the time: its position among those that wait, and its expected improvement."""

    position: int
    improvement: float


class Portfolio:
    """The guesses that were not tried yet."""

    def __init__(self, state: SearchState, first: Candidate, backbones: Sequence[BackboneAtSize]) -> None:
        self.waiting: list[GuessVariants] = [[first], *_entries(state, backbones)]
        self.begun = False
        self.timed: set[tuple[str, str]] = set()  # regimes and networks whose pace was measured

    def next(self, state: SearchState) -> AffordableGuess | MeasurePace | None:
        """Remove and return the next guess; or return a training to time before one is chosen; None where no guess fits."""
        while self.waiting:
            step = 0 if not self.begun or not state.has_deadline else self._best(state)
            if step is None:
                return None  # they stay: another probe, or a pace that is measured later, may change that
            if isinstance(step, MeasurePace):
                return step
            unmeasured = self._unmeasured(state, self.waiting[step][0])
            if unmeasured is not None:
                return unmeasured
            self.begun = True
            entry = self.waiting.pop(step)
            chosen = first_that_fits(state, entry)
            if chosen is not None:
                return AffordableGuess(chosen, entry)
        return None

    def add(self, state: SearchState, at: BackboneAtSize) -> None:
        """Add the guesses for a backbone and size that was probed later."""
        self.waiting += _entries(state, [at])

    def left(self, state: SearchState) -> list[Candidate]:
        """List the guesses that wait and were not tried."""
        return [c for entry in self.waiting for c in entry[:1] if not state.tried(c)]

    def _best(self, state: SearchState) -> int | MeasurePace | None:
        """Return the position of the guess that comes next; None where no guess is expected to improve."""
        for position, entry in enumerate(self.waiting):
            chosen = first_that_fits(state, entry)
            if chosen is not None and _comes_first(state, chosen):
                return position
        options = self._options(state)
        best = _highest(options)
        if best is not None and best.improvement >= policy.MIN_IMPROVEMENT and not self._trains(state, best):
            return best.position  # measuring a training's pace may cost what this head needs
        unmeasured = self._first_pace(state)
        if unmeasured is not None:
            return unmeasured
        if best is None:
            return None
        if self._trains(state, best) and not state.has_trained:
            near = [o for o in options if o.improvement >= policy.FIRST_TRAINING_SHARE * best.improvement]
            return self._on_the_most_accurate(state, near)
        return best.position if best.improvement >= policy.MIN_IMPROVEMENT else None

    def _options(self, state: SearchState) -> list[_Option]:
        """List what fits into the time; where some of it can be scored on enough folds, only that."""
        fits = [(p, c) for p, e in enumerate(self.waiting) if (c := first_that_fits(state, e)) is not None]
        sure = [(p, c) for p, c in fits if len(cost_model.folds_for(state, c)) >= cost_model.least_folds(state, c)]
        return [_Option(position, expected_gain(state, chosen)[0]) for position, chosen in sure or fits]

    def _trains(self, state: SearchState, option: _Option) -> bool:
        return state.trains_backbone(self.waiting[option.position][0])

    def _first_pace(self, state: SearchState) -> MeasurePace | None:
        """Before the first training is chosen, have the pace of the most accurate network measured, on small images.

        Guessed too slow, it would seem not to fit, and a weaker one would be trained in its place.
        """
        trained = [c for entry in self.waiting for c in entry[:1] if state.trains_backbone(c)]
        if not trained or state.has_trained:
            return None
        whole = [c for c in trained if state.strategy_of(c).regime == "full"] or trained
        return self._unmeasured(state, min(whole, key=lambda c: (-_published(state, c), c.size_px or 0)))

    def _unmeasured(self, state: SearchState, candidate: Candidate) -> MeasurePace | None:
        """Return a candidate as one to be timed, once for each regime and network, where a clock runs."""
        kind = (state.strategy_of(candidate).regime, candidate.backbone)
        if not state.has_deadline or not state.trains_backbone(candidate) or kind in self.timed:
            return None
        self.timed.add(kind)
        return MeasurePace(candidate)

    def _on_the_most_accurate(self, state: SearchState, options: Sequence[_Option]) -> int:
        """Choose the most promising training of the network of the highest published accuracy: where training begins.

        How linearly a network shows the classes says less about what training makes of it than its published accuracy
        (Kornblith et al. 2019); the first training here then shows how much that is (`expected_loss.surprise`).
        """
        trained = [o for o in options if self._trains(state, o)]
        best = min(trained, key=lambda o: (-_published(state, self.waiting[o.position][0]), -o.improvement, o.position))
        return best.position


def _published(state: SearchState, candidate: Candidate) -> float:
    return state.registry.backbone(candidate.backbone).published_accuracy or -math.inf


def _highest(options: Sequence[_Option]) -> _Option | None:
    """Return the option of the highest expected improvement, the first of equal ones; None where there is none."""
    return max(options, key=lambda o: (o.improvement, -o.position), default=None)


def _comes_first(state: SearchState, candidate: Candidate) -> bool:
    """Return True for a head that costs a small share of the time left, where the probe was best or a gain is expected."""
    if state.trains_backbone(candidate) or _is_far_behind(state, candidate):
        return False
    if cost_model.train_s(state, candidate, state.images) > policy.CHEAP_SHARE * state.left_s:
        return False
    return _leads(state, candidate) or expected_gain(state, candidate)[0] >= policy.MIN_IMPROVEMENT


def _leads(state: SearchState, candidate: Candidate) -> bool:
    """Return True on the backbone and size of the best probe."""
    losses = expected_loss.probe_losses(state.probes)
    return not losses or BackboneAtSize.of(candidate) == min(losses, key=lambda at: (losses[at], at))


def _is_far_behind(state: SearchState, candidate: Candidate) -> bool:
    """Return True if another head of the same strategy on the same features was far behind the best contender."""
    best = state.best()
    losses = [
        t.loss
        for t in state.trials
        if t.state == "complete"
        and t.candidate.strategy == candidate.strategy
        and BackboneAtSize.of(t.candidate) == BackboneAtSize.of(candidate)
    ]
    return best is not None and bool(losses) and min(losses) > policy.FAR_BEHIND * best.loss


def first_guesses(state: SearchState, at: BackboneAtSize) -> list[Candidate]:
    """List the first guess of every strategy that applies on this backbone and size."""
    return candidates.guesses(state.strategies, state.context(*at), backbone=at.name, size_px=at.size_px)


def first_that_fits(state: SearchState, entry: GuessVariants) -> Candidate | None:
    """Return the first candidate that was not tried and can be finished in time; else the first that can if shortened.

    A probe is tried already; the untuned default is a trial all the same.
    """
    fresh = [c for c in entry if not state.tried(c) and (c.origin == DEFAULT or state.probe_of(c) is None)]
    fresh = [c for c in fresh if state.keeps_limits(c)]
    whole = next((c for c in fresh if cost_model.fits_time(state, c)), None)
    return whole or next((s for c in fresh if (s := epoch_budget.shortened(state, c)) is not None), None)


def _entries(state: SearchState, backbones: Sequence[BackboneAtSize]) -> list[GuessVariants]:
    """List the guesses in portfolio order.

    Heads go where the probe was best. What is trained goes to the best published network first, since what a network
    learned matters more there than how linearly it shows (Kornblith et al. 2019, 1805.08974); with a deadline every
    backbone and size is a guess of its own, of a head the first guess, and its expected improvement decides.
    """
    published = {at.name: state.registry.backbone(at.name).published_accuracy or -math.inf for at in backbones}
    entries: list[GuessVariants] = []
    for name in candidates.ordered(state.strategies, few_shot=state.regime.few_shot):
        strategy = state.strategies[name]
        frozen = strategy.regime == "feature_extraction"
        each = policy.HEAD_GUESSES if frozen else policy.TRAINING_GUESSES if state.has_deadline else 1
        order = backbones if frozen else sorted(backbones, key=lambda at: -published[at.name])
        spread = [
            candidates.guesses({name: strategy}, state.context(*at), backbone=at.name, size_px=at.size_px, each=each)
            for at in order
        ]
        for number in range(each):
            entry = [guesses[number] for guesses in spread if len(guesses) > number]
            if state.has_deadline and (not frozen or number == 0):
                entries += [[guess] for guess in entry]
            elif entry:
                entries.append(entry if state.has_deadline else entry[:1])
    return entries
