"""advisor.training.batch_sampler: every image once an epoch, in an order that belongs to seed and images."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from advisor.records.plan import Batches
from advisor.training import episodes
from advisor.training.batch_sampler import BatchSampler, EpisodeSampler


@given(n=some.integers(1, 40), batch=some.integers(1, 50), seed=some.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_image_is_seen_once_before_any_is_seen_twice(n: int, batch: int, seed: int) -> None:
    """The batches, laid end to end, are whole epochs; every batch has one size, at most the number of images."""
    stream = BatchSampler(np.arange(n) * 7, seed=seed, batch=batch)
    steps = [stream.at(step) for step in range(3 * n)]
    assert {len(positions) for positions, _ in steps} == {min(n, batch)}
    positions = np.concatenate([p for p, _ in steps])
    rounds = np.concatenate([r for _, r in steps])
    for epoch in range(int(rounds.max())):
        np.testing.assert_array_equal(np.sort(positions[rounds == epoch]), np.arange(n))


def test_a_step_needs_no_earlier_step() -> None:
    """Asking for a late step first gives what it gives in turn."""
    ids = np.arange(30)
    one = BatchSampler(ids, seed=3, batch=7)
    in_turn = [one.at(step) for step in range(12)]
    for step in (11, 2, 7):
        positions, rounds = BatchSampler(ids, seed=3, batch=7).at(step)
        np.testing.assert_array_equal(positions, in_turn[step][0])
        np.testing.assert_array_equal(rounds, in_turn[step][1])


def test_the_order_is_the_images_not_the_rows() -> None:
    """The same images listed in another order come in the same order."""
    ids = np.arange(20) + 5
    rows = np.random.default_rng(0).permutation(20)
    first, second = BatchSampler(ids, seed=1, batch=6), BatchSampler(ids[rows], seed=1, batch=6)
    for step in range(8):
        np.testing.assert_array_equal(ids[first.at(step)[0]], ids[rows][second.at(step)[0]])


def test_seeds_and_purposes_give_other_orders() -> None:
    """Another seed or purpose shuffles differently, and so does every epoch."""
    ids = np.arange(50)
    orders = [
        BatchSampler(ids, seed=0, batch=50).at(0)[0],
        BatchSampler(ids, seed=1, batch=50).at(0)[0],
        BatchSampler(ids, seed=0, batch=50, purpose="target order").at(0)[0],
        BatchSampler(ids, seed=0, batch=50).at(1)[0],
    ]
    assert len({tuple(order) for order in orders}) == 4


def test_a_step_is_an_episode() -> None:
    """Support stands first in each class, no image twice; a step depends on (seed, step) alone, not on evaluation's draws."""
    labels = np.repeat(np.arange(6), 10)
    ids = np.arange(60, dtype=np.uint64) + 5
    stream = EpisodeSampler(labels, ids, Batches(name="episodic", ways=3, shots=2, queries=4), seed=1)
    positions, rounds = stream.at(7)
    assert stream.batch == len(positions) == len(set(positions.tolist())) == 18
    assert (rounds == 7).all()
    assert stream.support.reshape(3, 6).tolist() == [[True, True, False, False, False, False]] * 3
    assert [len(set(row)) for row in labels[positions].reshape(3, 6).tolist()] == [1, 1, 1]
    again = EpisodeSampler(labels, ids, Batches(name="episodic", ways=3, shots=2, queries=4), seed=1)
    assert np.array_equal(again.at(7)[0], positions)
    shuffled = np.random.default_rng(0).permutation(60)
    mixed = EpisodeSampler(labels[shuffled], ids[shuffled], Batches(ways=3, shots=2, queries=4), seed=1)
    assert np.array_equal(ids[shuffled][mixed.at(7)[0]], ids[positions])
    evaluated = episodes.draw(labels, ids, ways=3, shots=2, queries=4, count=8, seed=1)
    assert set(evaluated.support[7].ravel().tolist()) != set(positions[stream.support].tolist())
