"""What to train next: expected improvement for its time, in slices, within what is left."""

from __future__ import annotations

import math
from typing import Any

import pytest
from acquisition import CostAwareImprovement, Option, Remaining
from predictor import Predictor, Sighting
from scipy import integrate, stats

from advisor.records import Candidate
from advisor.tuning import expected_loss

VARIANCES = {"data": 0.01, "network": 0.0, "strategy": 0.0, "near": 0.0, "noise": 0.01}
HEADS = {"head data": 0.0, "head network": 0.0, "head noise": 0.01}
WEIGHTS = {"strategy full": -0.4, "strategy ema": -0.3, "strategy partial": 0.8}
CURVE = {"0.33": [0.0, 1.0, 0.05], "1": [0.0, 1.0, 0.01]}
POLICY = CostAwareImprovement(Predictor(weights=WEIGHTS, variances={**VARIANCES, **HEADS}, curve=CURVE))
PLENTY = Remaining(left_s=100.0, asked_s=100.0)


def sighting(strategy: str, *, steps: int = 100, **seen: Any) -> Sighting:
    """Describe a training beside a probe of log-loss 1."""
    candidate = Candidate(backbone="pocket", strategy=strategy, parameters={}, size_px=64)
    return Sighting(candidate=candidate, regime="full", steps=steps, images=300, classes=3, floor=1.0, **seen)


def option(strategy: str, seconds: float, *, finish_s: float = 5.0, **seen: Any) -> Option:
    """Offer a training of so many seconds, scored after a third of them and at its end."""
    rungs = ((0.33, 0.33 * seconds), (1.0, seconds))
    return Option(sighting=sighting(strategy, **seen), rungs_s=rungs, finish_s=finish_s)


PROBE = sighting("ridge", steps=0, final=1.0)


def test_the_same_gain_for_less_time_comes_first() -> None:
    """Of two trainings of the same strategy, the shorter one is worth more."""
    chosen = POLICY.next([option("full", 40.0), option("full", 10.0)], [PROBE], PLENTY)
    assert chosen is not None
    assert chosen.position == 1


def test_towards_the_end_the_gain_counts_and_not_the_time() -> None:
    """A somewhat better training that takes twice as long is left for later while there is time, and chosen at the end."""
    options = [option("ema", 1.0, finish_s=0.0), option("full", 4.0, finish_s=0.0)]
    early = POLICY.next(options, [PROBE], PLENTY)
    late = POLICY.next(options, [PROBE], Remaining(left_s=4.5, asked_s=100.0))
    assert early is not None
    assert late is not None
    assert (early.position, late.position) == (0, 1)


def test_what_does_not_fit_with_the_end_is_not_begun() -> None:
    """A training counts with the time to reserve for the run's end."""
    assert POLICY.next([option("full", 96.0)], [PROBE], PLENTY) is None
    assert POLICY.next([option("full", 95.0)], [PROBE], PLENTY) is not None


def test_nothing_is_begun_without_hope() -> None:
    """Where the expected improvement lies below the threshold, the search ends."""
    assert POLICY.next([option("partial", 1.0)], [PROBE], PLENTY) is None


def test_a_long_training_is_looked_at_on_its_way_and_a_short_one_is_not() -> None:
    """A training that takes a notable part of the time left goes to its next rung, another one to its end."""
    slow, quick = (POLICY.next([option("full", s)], [PROBE], PLENTY) for s in (50.0, 1.0))
    assert slow is not None
    assert quick is not None
    assert (slow.until, quick.until) == (0.33, 1.0)


def test_a_training_that_goes_badly_waits_for_a_new_one() -> None:
    """Where a curve shows no gain, the next slice belongs to another training."""
    options = [option("full", 20.0, share=0.33, loss=1.3), option("ema", 20.0)]
    chosen = POLICY.next(options, [PROBE], PLENTY)
    assert chosen is not None
    assert chosen.position == 1


def test_before_anything_ended_the_lowest_expected_loss_comes_first() -> None:
    """Without a best so far there is no improvement to expect."""
    chosen = POLICY.next([option("ema", 1.0), option("full", 20.0)], [], PLENTY)
    assert chosen is not None
    assert chosen.position == 1


def test_without_a_clock_time_does_not_count() -> None:
    """With no end in time, the highest expected improvement comes first, however long it takes."""
    endless = Remaining(left_s=math.inf, asked_s=math.inf)
    chosen = POLICY.next([option("ema", 1.0), option("full", 1e6)], [PROBE], endless)
    assert chosen is not None
    assert (chosen.position, chosen.until) == (1, 1.0)


def test_the_gain_is_the_expected_improvement() -> None:
    """The gain of a slice is the integral of the improvement over the predicted distribution."""
    chosen = POLICY.next([option("full", 10.0)], [PROBE], PLENTY)
    assert chosen is not None
    normal = stats.norm(loc=-0.4, scale=math.sqrt(0.02))
    expected, _ = integrate.quad(lambda y: max(0.0, -y) * normal.pdf(y), -3, 0)
    assert chosen.gain == pytest.approx(expected, rel=1e-4)
    assert expected_loss.improvement(math.exp(-0.4), math.sqrt(0.02), 1.0) == pytest.approx(expected, rel=1e-4)


def test_heads_that_cost_next_to_nothing_come_first() -> None:
    """A head is fitted before anything is weighed, whatever it is expected to bring, unless it takes a notable time."""
    head = Option(sighting=sighting("knn", steps=0), rungs_s=((1.0, 1.0),))
    slow = Option(sighting=sighting("knn", steps=0), rungs_s=((1.0, 50.0),))
    first = POLICY.next([option("full", 10.0), head], [PROBE], PLENTY)
    second = POLICY.next([option("full", 10.0), slow], [PROBE], PLENTY)
    assert first is not None
    assert second is not None
    assert (first.position, second.position) == (1, 0)
