"""The range test as numbers: rates, plans that rise, and what is read from losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor import schedules
from advisor.errors import InputError
from advisor.records.plan import Head, Phase, Term, TrainPlan
from advisor.workflows import lr_range

PLAN = TrainPlan(
    phases=(Phase(head_rate=1e-2), Phase(start=3, rates={"a": 1e-4, "b": 1e-3}, head_rate=5e-3, only="norm", warmup=9)),
    steps=20,
    ema=0.9,
    finish=Term(function="a:b"),
)


@given(st.floats(-8, -2), st.floats(0.1, 6), st.integers(10, 300))
def test_rates_are_geometric(low: float, decades: float, steps: int) -> None:
    """Rates rise by one ratio from the first bound to the last, as numpy spaces them."""
    bounds = 10.0**low, 10.0 ** (low + decades)
    assert np.allclose(lr_range.rates(*bounds, steps), np.geomspace(*bounds, steps))


@pytest.mark.parametrize(
    "bad", [(0.0, 1.0, 50), (1.0, 1.0, 50), (1e-3, math.inf, 50), (math.nan, 1.0, 50), (1e-6, 1.0, 9)]
)
def test_senseless_bounds_are_refused(bad: tuple[float, float, int]) -> None:
    """Bounds that are not 0 < low < high, or too few steps, are the caller's fault."""
    with pytest.raises(InputError):
        lr_range.rates(*bad)


def test_a_rising_plan_keeps_proportions() -> None:
    """At step i the highest stage has the i-th rate, and every other group its share of it; no schedule bends it."""
    tried = lr_range.rates(1e-5, 1e-1, 12)
    plan = lr_range.rising(PLAN, tried)
    assert plan.steps == 12
    assert plan.ema == 0.0
    assert plan.finish is None
    for i, rate in enumerate(tried):
        now = schedules.rates_at(plan.schedule, plan.phases, i, plan.steps)
        assert now == pytest.approx({"a": rate / 10, "b": rate, schedules.HEAD: rate * 5})
    assert {phase.only for phase in plan.phases} == {"norm"}


def test_a_head_alone_is_swept_by_its_own_rate() -> None:
    """Where no stage trains, the rate is the head's; where nothing trains, there is nothing to sweep."""
    plan = lr_range.rising(TrainPlan(phases=(Phase(head_rate=1e-2),), steps=5), [1e-3] * 10)
    assert plan.phases[0].head_rate == pytest.approx(1e-3)
    with pytest.raises(InputError, match="without a learning rate"):
        lr_range.rising(TrainPlan(head=Head(kind="ridge")), [1e-3] * 10)


def test_smoothing_has_no_bias() -> None:
    """A constant loss stays what it is; the last value is the weighted mean of all losses."""
    assert np.allclose(lr_range.smoothed([2.0] * 7), 2.0)
    losses = [3.0, 1.0, 4.0, 1.0, 5.0]
    weights = 0.9 ** np.arange(4, -1, -1)
    assert lr_range.smoothed(losses)[-1] == pytest.approx(np.average(losses, weights=weights))


def quadratic(tried: list[float]) -> list[float]:
    """Noisy gradient descent on 1 + 0.5 x**2 with rising rates: stable below 2, and then it breaks down."""
    noise = np.random.default_rng(0).normal(0, 0.3, len(tried))
    x, losses = 10.0, []
    for rate, wrong in zip(tried, noise, strict=True):
        losses.append(1 + 0.5 * x * x)
        x -= rate * (x + wrong)
    return losses


def test_the_suggestion_lies_where_descent_is_stable() -> None:
    """On a quadratic, whose largest stable rate is 2, the suggestion is below it and not thousands of times below."""
    tried = lr_range.rates(1e-4, 100.0, 100)
    losses = quadratic(tried)
    stop = next(i for i in range(1, 100) if lr_range.broke_down(losses[:i]))
    told = lr_range.suggest(tried, losses[:stop], diverged=True)
    assert 2e-3 < told.rate < 2.0
    assert told.steepest < told.lowest
    assert told.diverged_at is not None
    assert told.diverged_at > 2.0


def test_a_loss_that_does_not_fall_says_so() -> None:
    """From a fitted head the loss may only rise: a third of the last harmless rate is suggested, and the reason says it."""
    tried = lr_range.rates(1e-6, 1.0, 60)
    told = lr_range.suggest(tried, [1.0 if rate < 1e-3 else 1.0 + 50 * rate for rate in tried])
    assert 1e-4 < told.rate < 1e-2
    assert "hardly falls" in told.reason
    with pytest.raises(InputError, match="smaller --low"):
        lr_range.suggest(tried, [1.0, 2.0])
