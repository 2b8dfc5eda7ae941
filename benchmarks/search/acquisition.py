"""What to train next, and how far: the interface of a search policy, and one that weighs gain against time.

In: options (candidates with what they cost, and what was seen of them) and the time left. Out: the next slice of training, or
None where nothing is worth its time. A policy is a pure function of these, so that a simulator replays it on recorded curves.
The product's search does not use it: on what was recorded so far it was not better (docs/search.md).
Does NOT cover: the simulated machine (world.py).
Sources: expected improvement, Jones et al. 1998; per unit of cost, cooled as the budget is used up, Lee et al. 2020
(2003.10870); training in slices that can go on, Swersky et al. 2014 (1406.3896).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from predictor import Predictor, Sighting

from advisor.tuning import expected_loss

HOPE = 0.003  # expected improvement of the log-loss's logarithm, below which a candidate is not worth its time
LEAST_S = 0.1  # what any candidate is taken to cost
CHEAP = 0.06  # of the time left: a head that costs less is fitted before anything is weighed
WHOLE_SHARE = 0.02  # of the time left: a training that needs less is not stopped on the way


@dataclass(frozen=True, kw_only=True)
class Option:
    """A candidate that may be trained on. `rungs_s`: seconds from here to each later rung, as (share of the steps, seconds).

    `finish_s` is the time to reserve for the run's end if this one wins.
    """

    sighting: Sighting
    rungs_s: tuple[tuple[float, float], ...]
    finish_s: float = 0.0

    @property
    def whole_s(self) -> float:
        """Seconds until it has trained to its end."""
        return self.rungs_s[-1][1] if self.rungs_s else 0.0


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The next piece of work: train option `position` until this share of its steps.

    `gain` is the expected improvement of the log-loss's logarithm if it is trained to its end.
    """

    position: int
    until: float
    gain: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """What is left of the budget, in seconds: `left_s` of `asked_s`; infinite where there is no clock."""

    left_s: float
    asked_s: float


class Policy(Protocol):
    """Anything that chooses the next slice."""

    def next(self, options: Sequence[Option], seen: Sequence[Sighting], remaining: Remaining) -> Slice | None:
        """Return the next slice; None where nothing is worth its time. `seen` are trainings that ended."""


@dataclass(frozen=True)
class CostAwareImprovement:
    """Train on whatever has the highest expected improvement for its time; the time counts less towards the end.

    With `sliced`, a training that takes a notable part of the time left is looked at again at its next rung.
    """

    predictor: Predictor
    hope: float = HOPE
    sliced: bool = True
    heads_first: bool = True

    def next(self, options: Sequence[Option], seen: Sequence[Sighting], remaining: Remaining) -> Slice | None:
        """Return the next slice; None where nothing that fits has an expected improvement of at least `hope`.

        Before anything ended, that is the option of the lowest expected log-loss.
        """
        fits = [i for i, o in enumerate(options) if o.rungs_s and o.whole_s + o.finish_s <= remaining.left_s]
        if not fits:
            return None
        cheap = [i for i in fits if not options[i].sighting.steps and options[i].whole_s <= CHEAP * remaining.left_s]
        means, deviations = self.predictor.posterior([options[i].sighting for i in fits], seen)
        if cheap and self.heads_first:
            at = min((k for k, i in enumerate(fits) if i in cheap), key=lambda k: means[k])
            return self._slice(options, fits[at], math.inf, remaining)
        best = min((s.final for s in seen if s.final is not None), default=math.inf)
        if not math.isfinite(best):
            return self._slice(options, fits[int(means.argmin())], math.inf, remaining)
        gains = [expected_loss.improvement(math.exp(m), d, best) for m, d in zip(means, deviations, strict=True)]
        power = remaining.left_s / remaining.asked_s if math.isfinite(remaining.asked_s) else 0.0
        worth = [
            (gain / max(options[i].whole_s, LEAST_S) ** power, -i, gain)
            for i, gain in zip(fits, gains, strict=True)
            if gain >= self.hope
        ]
        if not worth:
            return None
        _, position, gain = max(worth)
        return self._slice(options, -position, gain, remaining)

    def _slice(self, options: Sequence[Option], position: int, gain: float, remaining: Remaining) -> Slice:
        rungs = options[position].rungs_s
        whole = not self.sliced or rungs[-1][1] <= WHOLE_SHARE * remaining.left_s
        return Slice(position=position, until=rungs[-1 if whole else 0][0], gain=gain)
