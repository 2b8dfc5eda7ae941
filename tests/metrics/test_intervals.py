"""Intervals and tests against scipy, against their own definition, and for the coverage that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.metrics import intervals


@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_wilson_is_that_of_scipy(right: int, wrong: int, level: float) -> None:
    """Wilson's interval equals scipy's at any count and level, and (0, 1) without items."""
    from scipy.stats import binomtest

    n = right + wrong
    if n == 0:
        assert intervals.wilson(0, 0, level=level) == (0.0, 1.0)
        return
    expected = binomtest(right, n).proportion_ci(level, method="wilson")
    assert intervals.wilson(right, n, level=level) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_at_ninety_percent_is_as_wide_as_it_is() -> None:
    """At 90 % the interval is 82.6-94.5 with 100 images and 88.0-91.7 with 1,000."""
    assert intervals.wilson(90, 100) == pytest.approx((0.826, 0.945), abs=5e-4)
    assert intervals.wilson(900, 1000) == pytest.approx((0.880, 0.917), abs=5e-4)


@pytest.mark.parametrize(("right", "n"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(right: int, n: int) -> None:
    """More right than there are, or fewer than none, is an error that says so."""
    with pytest.raises(ValueError, match=r"0\.\.n"):
        intervals.wilson(right, n)


def test_an_impossible_level_is_refused() -> None:
    """A level must lie between 0 and 1."""
    with pytest.raises(ValueError, match="level"):
        intervals.wilson(1, 2, level=95)


def test_the_bootstrap_of_a_mean_is_its_normal_interval() -> None:
    """With many items the percentile interval is mean +- 1.96 standard errors."""
    scores = np.random.default_rng(0).exponential(size=2000)
    low, high = intervals.bootstrap(scores)
    error = scores.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((scores.mean() - 1.96 * error, scores.mean() + 1.96 * error), abs=0.15 * error)


def test_pairing_removes_what_items_share() -> None:
    """Two scores that differ by a constant on every item have an interval of that constant alone."""
    b = np.random.default_rng(1).normal(size=80) * 10
    assert intervals.paired_bootstrap(b + 0.5, b) == pytest.approx((0.5, 0.5))
    assert intervals.paired_p(b + 0.5, b) < 0.001


def test_equal_scores_show_no_difference() -> None:
    """The same scores twice have the interval (0, 0) and p = 1; no items have neither."""
    scores = np.arange(5.0)
    assert intervals.paired_bootstrap(scores, scores) == (0.0, 0.0)
    assert intervals.paired_p(scores, scores) == 1.0
    assert np.isnan(intervals.paired_bootstrap(scores[:0], scores[:0])).all()
    assert intervals.paired_p(scores[:0], scores[:0]) == 1.0


def test_different_items_are_refused() -> None:
    """A paired comparison of different numbers of items is an error that names both."""
    for compare in (intervals.paired_bootstrap, intervals.paired_p):
        with pytest.raises(ValueError, match="3 and 4"):
            compare(np.zeros(3), np.zeros(4))


def test_groups_widen_the_interval() -> None:
    """Copies of an image in one group carry no more evidence than the image: the interval stays that of the groups."""
    single = np.random.default_rng(2).normal(size=60)
    copies = np.repeat(single, 10)
    groups = np.repeat(np.arange(60), 10)
    low, high = intervals.bootstrap(copies, groups=groups)
    assert (low, high) == pytest.approx(intervals.bootstrap(single), abs=1e-9)
    naive_low, naive_high = intervals.bootstrap(copies)
    assert high - low > 2.5 * (naive_high - naive_low)


def test_the_interval_of_grouped_items_holds_what_it_promises() -> None:
    """On patients whose images are right or wrong together it covers the truth; Wilson's on images does not."""
    draw = np.random.default_rng(7)
    truth, images, groups = 0.8, 12, np.repeat(np.arange(40), 12)
    held = {"grouped": 0, "plain": 0}
    for _ in range(400):
        shares = draw.beta(truth * 2, (1 - truth) * 2, 40)
        right = draw.random((40, images)) < shares[:, None]
        low, high = intervals.grouped_wilson(right.ravel(), groups)
        held["grouped"] += low <= truth <= high
        low, high = intervals.wilson(int(right.sum()), right.size)
        held["plain"] += low <= truth <= high
    assert 0.92 <= held["grouped"] / 400 <= 0.98
    assert held["plain"] / 400 < 0.75


@given(st.integers(1, 40), st.data())
@settings(max_examples=50, deadline=None)
def test_groups_of_one_are_wilson_and_larger_ones_are_never_surer(n: int, data: st.DataObject) -> None:
    """Without groups it is the plain interval; with them it holds the share and is no narrower."""
    right = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    plain = intervals.wilson(int(right.sum()), n)
    assert intervals.grouped_wilson(right, np.arange(n)) == plain
    groups = np.array(data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))
    low, high = intervals.grouped_wilson(right, groups)
    assert 0.0 <= low <= right.mean() + 1e-12
    assert right.mean() - 1e-12 <= high <= 1.0
    assert high - low >= plain[1] - plain[0] - 1e-12


def test_uneven_groups_count_by_their_items() -> None:
    """The mean of a resample weighs items, not groups."""
    scores, groups = np.array([1.0, 1.0, 1.0, 0.0]), np.array(["a", "a", "a", "b"])
    low, high = intervals.bootstrap(scores, groups=groups, level=0.4)
    assert low == pytest.approx(0.75)
    assert high == pytest.approx(0.75)


def test_the_p_value_is_uniform_where_nothing_differs() -> None:
    """With no true difference, about one comparison in ten has p below 0.1."""
    rng = np.random.default_rng(3)
    below = [intervals.paired_p(rng.normal(size=60), rng.normal(size=60), resamples=400) < 0.1 for _ in range(300)]
    assert 0.05 < np.mean(below) < 0.17


def test_optimism_of_the_best_of_many_is_seen() -> None:
    """The best of 50 equal candidates on 200 images looks about 4 points better than it is; one alone does not."""
    rng = np.random.default_rng(4)
    estimates, truths = [], []
    for seed in range(8):
        scores = (rng.random((50, 200)) < 0.85).astype(float)
        estimates.append(intervals.optimism(scores, resamples=200, seed=seed))
        truths.append(scores.mean(1).max() - 0.85)
    assert np.mean(estimates) == pytest.approx(np.mean(truths), abs=0.015)
    assert intervals.optimism(scores[:1]) == 0.0
    assert intervals.optimism(np.tile(scores[:1], (5, 1))) == pytest.approx(0.0, abs=2e-3)


def test_everything_repeats() -> None:
    """The same seed gives the same interval, another seed nearly the same."""
    scores = np.random.default_rng(5).normal(size=100)
    assert intervals.bootstrap(scores, seed=7) == intervals.bootstrap(scores, seed=7)
    assert intervals.bootstrap(scores, seed=8) == pytest.approx(intervals.bootstrap(scores, seed=7), abs=0.03)


def test_errors_apart_is_the_paired_t_statistic_of_scipy() -> None:
    """On items of their own it is scipy's t; whole groups of equal size are as one item each."""
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(3)
    a, b = rng.normal(0.3, 1.0, 80), rng.normal(0.0, 1.0, 80)
    assert intervals.errors_apart(a, b) == pytest.approx(abs(ttest_rel(a, b).statistic), rel=1e-9)
    groups = np.repeat(np.arange(20), 4)
    means = [values.reshape(20, 4).mean(1) for values in (a, b)]
    assert intervals.errors_apart(a, b, groups=groups) == pytest.approx(abs(ttest_rel(*means).statistic), rel=1e-9)


def test_errors_apart_says_nothing_of_one_item_and_everything_without_spread() -> None:
    """One item or group is no evidence; a constant difference is certain, and none is none."""
    ones = np.ones(5)
    assert intervals.errors_apart(ones[:1], 2 * ones[:1]) == 0.0
    assert intervals.errors_apart(ones, np.arange(5.0), groups=np.zeros(5)) == 0.0
    assert intervals.errors_apart(ones, 2 * ones) == np.inf
    assert intervals.errors_apart(ones, ones) == 0.0
    with pytest.raises(ValueError, match="same items"):
        intervals.errors_apart(ones, ones[:3])
