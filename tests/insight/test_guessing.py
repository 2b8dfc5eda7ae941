"""The comparison with always answering the largest class: scipy's exact test is the reference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from advisor.insight import guessing


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (5, 5), (9, 2), (2, 9), (300, 260)])
def test_the_sign_test_is_scipys(better: int, worse: int) -> None:
    """The p-value is that of an exact one-sided binomial test; 1 where nothing differs."""
    n = better + worse
    expected = stats.binomtest(better, n, alternative="greater").pvalue if n else 1.0
    assert guessing.sign_test(better, worse) == pytest.approx(expected, rel=1e-9)


def test_a_set_without_signal_is_not_learned() -> None:
    """Of 95 to 5 images, a model that answers the large class has learned nothing, though 95 % are right."""
    labels = np.array([0] * 95 + [1] * 5)
    result = guessing.against_majority(labels, np.zeros(100, dtype=int))
    assert (result.label, result.share, result.learned) == (0, 0.95, False)


def test_random_answers_are_rarely_learned() -> None:
    """At level 0.05 random labels pass in about 5 of 100 draws at most; a clear gain passes always."""
    draw = np.random.default_rng(0)
    passed = 0
    for _ in range(200):
        labels, answers = draw.integers(0, 2, 60), draw.integers(0, 2, 60)
        passed += guessing.against_majority(labels, answers, guess=0).learned
    assert passed <= 20
    labels = np.arange(60) % 2
    assert guessing.against_majority(labels, labels).learned


def test_nothing_to_compare_is_an_error() -> None:
    """No items, or lists of two lengths, are refused."""
    with pytest.raises(ValueError, match="same length"):
        guessing.against_majority(np.array([], dtype=int), np.array([], dtype=int))


def test_images_of_one_group_are_one_piece_of_evidence() -> None:
    """Ten copies of three right images say no more than the three; single images are as without groups."""
    labels = np.repeat([1, 1, 1, 0, 0, 0, 0], 10)
    right = np.where(np.arange(70) < 30, 1, 0)
    assert guessing.against_majority(labels, right).p < 1e-6
    assert guessing.against_majority(labels, right, groups=np.repeat(np.arange(7), 10)).p == 0.125
    assert guessing.against_majority(labels, right, groups=np.zeros(70, dtype=int)).p == 0.5
    alone = guessing.against_majority(labels, right, groups=np.arange(70))
    assert alone == guessing.against_majority(labels, right)


def test_the_grouped_test_is_scipys_permutation_test() -> None:
    """The p-value is that of flipping the sign of every group's surplus, all 2^G ways."""
    draw = np.random.default_rng(1)
    labels, answers, groups = draw.integers(0, 2, 40), draw.integers(0, 2, 40), draw.integers(0, 9, 40)
    change = (answers == labels).astype(float) - (labels == 0)
    surplus = np.bincount(groups, weights=change)
    expected = stats.permutation_test(
        (surplus,), np.sum, permutation_type="samples", alternative="greater", n_resamples=np.inf
    ).pvalue
    assert guessing.against_majority(labels, answers, guess=0, groups=groups).p == pytest.approx(expected, rel=1e-9)
