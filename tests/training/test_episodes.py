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


def test_no_group_is_on_both_sides_of_an_episode() -> None:
    """Series of one to five similar images: either labelled or asked for; as many images as without groups."""
    draws = np.random.default_rng(3)
    labels = np.repeat(np.arange(6), 24)
    groups = np.concatenate([100 * k + np.repeat(np.arange(24), draws.integers(1, 6, 24))[:24] for k in range(6)])
    ids = draws.integers(0, 2**63, len(labels)).astype(np.uint64)
    drawn = episodes.draw(labels, ids, ways=5, shots=4, queries=12, count=80, seed=0, groups=groups)
    assert drawn.support.shape == (80, 5, 4)
    for support, queries in zip(drawn.support.reshape(-1, 4), drawn.queries.reshape(-1, 12), strict=True):
        assert not set(groups[support]) & set(groups[queries])
        assert len({*support.tolist(), *queries.tolist()}) == 16
        assert len(set(labels[[*support, *queries]])) == 1


def test_a_group_of_several_classes_is_on_one_side_too() -> None:
    """Twenty patients with images of every class: those labelled in one class are no queries of another."""
    patients = np.tile(np.repeat(np.arange(20), 2), 3)
    labels, ids = np.repeat(np.arange(3), 40), np.arange(120, dtype=np.uint64)
    drawn = episodes.draw(labels, ids, ways=3, shots=3, queries=6, count=60, seed=1, groups=patients)
    for support, queries in zip(drawn.support, drawn.queries, strict=True):
        assert not set(patients[support].ravel()) & set(patients[queries].ravel())
        assert len(np.unique(np.concatenate((support, queries), axis=1))) == 3 * 9


def test_classes_that_share_too_few_groups_still_have_episodes() -> None:
    """Two patients in all: no episode keeps them apart in both classes in every order, and each class is divided by itself."""
    patients, labels = np.tile(np.repeat([0, 1], 4), 2), np.repeat([0, 1], 8)
    drawn = episodes.draw(labels, IDS[:16], ways=2, shots=4, queries=1, count=20, seed=0, groups=patients)
    for support, queries in zip(drawn.support.reshape(-1, 4), drawn.queries.reshape(-1, 1), strict=True):
        assert not set(patients[support]) & set(patients[queries])


def test_groups_of_one_image_change_no_episode() -> None:
    """What was drawn before groups were kept together is drawn still."""
    alone = episodes.draw(LABELS, IDS, ways=5, shots=2, queries=6, count=30, seed=4, groups=np.arange(len(LABELS)))
    plain = episodes.draw(LABELS, IDS, ways=5, shots=2, queries=6, count=30, seed=4)
    assert np.array_equal(alone.support, plain.support)
    assert np.array_equal(alone.queries, plain.queries)


def test_a_class_that_no_order_of_its_groups_can_divide_is_not_eligible() -> None:
    """Sixteen images of which a series has six: at worst its images all serve one side."""
    labels = np.repeat([0, 1], 16)
    groups = np.arange(32)
    groups[:6] = 0
    assert episodes.eligible(labels, 11, groups).tolist() == [0, 1]
    assert episodes.eligible(labels, 12, groups).tolist() == [1]
    with pytest.raises(InputError, match="all similar images of a group on one side"):
        episodes.draw(labels, IDS[:32], ways=2, shots=2, queries=10, count=1, seed=0, groups=groups)
