"""advisor.runtime.rng: draws are functions of (seed, purpose, step, image) and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from advisor.runtime import rng

IDS = np.array([3, 2**60 - 1, 17, 0, 5], dtype=np.uint64)


def test_key_separates_purposes() -> None:
    """Purposes that read alike when glued together, or differ in type, give unlike keys."""
    keys = {
        rng.key(0, "ab", "c"),
        rng.key(0, "a", "bc"),
        rng.key(0, "abc"),
        rng.key(0, 1),
        rng.key(0, "1"),
        rng.key(1, "abc"),
    }
    assert len(keys) == 6
    assert all(0 <= k < 2**63 for k in keys)


def test_numbers_are_pinned() -> None:
    """The same arguments give the same numbers in every version: recipes depend on it."""
    assert rng.key(0, "order", 3) == 3421225812864122905
    drawn = rng.uniform(7, "view", 2, [11], 2)[0]
    np.testing.assert_array_equal(drawn, np.array([0.5495729929296425, 0.08596655017139165]))


@given(seed=some.integers(0, 2**31), step=some.integers(0, 10**6), rows=some.permutations(range(5)))
@settings(max_examples=50, deadline=None)
def test_a_row_depends_on_its_own_id_only(seed: int, step: int, rows: list[int]) -> None:
    """An image draws the same numbers alone, in any company and at any place of a batch."""
    whole = rng.uniform(seed, "view", step, IDS, 3)
    np.testing.assert_array_equal(rng.uniform(seed, "view", step, IDS[rows], 3), whole[rows])
    np.testing.assert_array_equal(rng.uniform(seed, "view", step, IDS[2:3], 3), whole[2:3])


def test_more_numbers_do_not_change_the_first() -> None:
    """Asking for more draws keeps those that were drawn before."""
    np.testing.assert_array_equal(rng.uniform(1, "a", 0, IDS, 2), rng.uniform(1, "a", 0, IDS, 9)[:, :2])


def test_steps_may_differ_by_image() -> None:
    """One counter per image gives each row of its own counter."""
    steps = np.array([4, 9, 4, 0, 1])
    rows = rng.uniform(0, "a", steps, IDS, 2)
    for n, step in enumerate(steps):
        np.testing.assert_array_equal(rows[n], rng.uniform(0, "a", int(step), IDS[n : n + 1], 2)[0])


def test_seed_purpose_and_step_all_matter() -> None:
    """Changing any one of them changes every number."""
    base = rng.uniform(0, "a", 0, IDS, 4)
    for other in (
        rng.uniform(1, "a", 0, IDS, 4),
        rng.uniform(0, "b", 0, IDS, 4),
        rng.uniform(0, "a", 1, IDS, 4),
    ):
        assert not np.any(other == base)


def test_numbers_are_uniform_and_unrelated() -> None:
    """Over neighbouring ids and steps the numbers are uniform, and columns and steps are uncorrelated."""
    stats = pytest.importorskip("scipy.stats")
    ids = np.arange(20_000)
    drawn = np.hstack([rng.uniform(5, "check", step, ids, 3) for step in (0, 1)])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert all(stats.kstest(column, "uniform").pvalue > 1e-4 for column in drawn.T)
    correlation = np.corrcoef(drawn.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.04


@given(n=some.integers(0, 300), seed=some.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_permutation_is_one(n: int, seed: int) -> None:
    """A permutation holds every row once."""
    np.testing.assert_array_equal(np.sort(rng.permutation(seed, "order", 0, n)), np.arange(n))


def test_order_follows_the_images() -> None:
    """Listing the images in another order leaves the order of the images themselves as it was."""
    shuffled = np.array([4, 0, 3, 1, 2])
    first = IDS[rng.order(0, "order", 2, IDS)]
    second = IDS[shuffled][rng.order(0, "order", 2, IDS[shuffled])]
    np.testing.assert_array_equal(first, second)
