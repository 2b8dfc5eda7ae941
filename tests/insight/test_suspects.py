"""Suspicious labels: the order, the number worth a look and the neighbours, against counts done by hand and by sklearn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors

from advisor.insight import suspects
from advisor.metrics import neighbours


def counted_by_hand(p: np.ndarray, labels: np.ndarray) -> list[bool]:
    """The off-diagonal of confident learning's joint, item by item (Northcutt et al. 2021, equation 1)."""
    thresholds = {k: p[labels == k, k].mean() for k in set(labels.tolist())}
    result = []
    for row, label in zip(p, labels.tolist(), strict=True):
        confident = [k for k in thresholds if row[k] >= thresholds[k]]
        result.append(bool(confident) and max(confident, key=lambda k: row[k]) != label)
    return result


def noisy_digits(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Handwritten digits with wrong labels: features, given labels, which are wrong, out-of-fold probabilities."""
    x, y = load_digits(return_X_y=True)
    draw = np.random.default_rng(1)
    wrong = np.zeros(len(y), dtype=bool)
    wrong[draw.choice(len(y), round(share * len(y)), replace=False)] = True
    given = np.where(wrong, (y + draw.integers(1, 10, len(y))) % 10, y)
    p = cross_val_predict(LogisticRegression(C=0.01, max_iter=200), x / 16, given, cv=5, method="predict_proba")
    return x, given, wrong, p


def test_wrong_labels_come_first() -> None:
    """With 5 % wrong labels the first k are mostly wrong, and the stated precision promises little too much."""
    _, given, wrong, p = noisy_digits(0.05)
    result = suspects.find(p, given)
    k = int(wrong.sum())
    assert wrong[result.order[:k]].mean() > 0.75
    assert wrong[result.order[: 2 * k]].sum() > 0.9 * k
    assert 0.7 * k < result.worth < 1.6 * k
    had = wrong[result.order[: result.worth]].mean()
    assert 0.4 < result.precision < had + 0.2


def test_the_count_is_that_of_confident_learning() -> None:
    """Items are counted as in the paper, also where a class has no items."""
    _, given, _, p = noisy_digits(0.1)
    assert suspects.counted_wrong(p, given).tolist() == counted_by_hand(p, given)
    few = np.where(given == 9, 8, given)
    assert suspects.counted_wrong(p, few).tolist() == counted_by_hand(p, few)


def test_sure_labels_are_no_suspects() -> None:
    """Where every label is the models' first choice nothing is worth a look."""
    p = np.full((30, 3), 0.05) + 0.85 * np.eye(3)[np.arange(30) % 3]
    result = suspects.find(p, np.arange(30) % 3)
    assert (result.worth, result.precision) == (0, 0.0)
    with pytest.raises(ValueError, match="two classes"):
        suspects.find(np.ones((4, 1)), np.zeros(4, dtype=int))


def test_neighbours_that_speak_against_a_label_carry_another() -> None:
    """They are the nearest images of other labels, as sklearn finds them."""
    x, given, _, _ = noisy_digits(0.05)
    rows = suspects.opposing(x, given, [3, 77], count=4)
    for item, suspect in zip((3, 77), rows, strict=True):
        other = np.flatnonzero(given != given[item])
        expected = NearestNeighbors(metric="cosine").fit(x[other]).kneighbors(x[[item]], 4)[1][0]
        assert suspect == other[expected].tolist()


def test_only_items_of_other_labels_oppose() -> None:
    """Where fewer items carry another label than are asked for, all of them are listed, and no other."""
    x = np.random.default_rng(0).standard_normal((6, 4))
    opposing = suspects.opposing(x, np.array([0, 0, 0, 0, 1, 1]), np.array([0, 4]), count=4)
    assert [sorted(rows) for rows in opposing] == [[4, 5], [0, 1, 2, 3]]
    assert suspects.opposing(x, np.zeros(6, dtype=int), np.array([2])) == [[]]


def test_nearest_is_sklearns_in_every_piece() -> None:
    """More queries than one piece holds: the same neighbours, oneself left out."""
    x = np.random.default_rng(0).standard_normal((1500, 8))
    units = neighbours.unit(x)
    similar, positions = neighbours.nearest(units, units, 3, excluded_MN=np.eye(len(units), dtype=bool))
    distance, expected = NearestNeighbors(metric="cosine").fit(x).kneighbors(x, 4)
    assert (positions == expected[:, 1:]).mean() > 0.999
    np.testing.assert_allclose(1 - similar, distance[:, 1:], atol=1e-5)
