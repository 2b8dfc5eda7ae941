"""Episodes: seeded, balanced, without an image on both sides, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.training import episodes

LABELS = np.repeat(np.arange(7), [3, 20, 20, 20, 20, 20, 40])
IDS = np.arange(len(LABELS), dtype=np.uint64) * 77 + 5


def drawn(seed: int = 0, count: int = 9, labels: np.ndarray = LABELS, ids: np.ndarray = IDS) -> episodes.Episodes:
    return episodes.draw(labels, ids, ways=5, shots=2, queries=6, count=count, seed=seed)


@given(st.integers(0, 10_000))
def test_an_episode_is_balanced_and_apart(seed: int) -> None:
    """Each episode has `ways` distinct classes with enough images, and no image twice in support and queries."""
    batch = drawn(seed, count=2)
    for e in range(2):
        assert len(set(batch.classes[e])) == 5
        assert 0 not in batch.classes[e]
        both = np.concatenate([batch.support[e], batch.queries[e]], axis=1)
        assert len(set(both.ravel())) == both.size
        assert (LABELS[both] == batch.classes[e][:, None]).all()


def test_episodes_follow_the_seed_and_nothing_else() -> None:
    """The same seed gives the same episodes, of which the first do not depend on how many are drawn."""
    assert np.array_equal(drawn(3).support, drawn(3).support)
    assert np.array_equal(drawn(3, count=20).queries[:9], drawn(3).queries)
    assert not np.array_equal(drawn(3).support, drawn(4).support)


def test_episodes_follow_the_images() -> None:
    """Shuffled rows give episodes of the same images."""
    order = np.random.default_rng(0).permutation(len(LABELS))
    shuffled = drawn(1, labels=LABELS[order], ids=IDS[order])
    assert np.array_equal(IDS[order][shuffled.support], IDS[drawn(1).support])


def test_every_class_and_image_comes_up() -> None:
    """Over many episodes every class that is large enough is drawn, about equally often."""
    batch = drawn(count=300)
    counts = np.bincount(batch.classes.ravel(), minlength=7)
    assert counts[0] == 0
    assert counts[1:].min() > 200
    assert len(np.unique(batch.support)) == len(LABELS) - 3


def test_too_few_images_are_told() -> None:
    """Where there are not enough classes of that size, the line says how many there are and what to change."""
    with pytest.raises(InputError, match=r"there are 1: take fewer --ways"):
        episodes.draw(LABELS, IDS, ways=5, shots=5, queries=20, count=1, seed=0)
