"""Scores of logits, each against scikit-learn, scipy or a sum written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.metrics import classification


def _drawn(seed: int, n: int = 60, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels], labels


@given(st.integers(0, 10_000), st.floats(0.2, 5.0))
@settings(max_examples=20, deadline=None)
def test_log_loss_is_that_of_scikit_learn(seed: int, temperature: float) -> None:
    """The mean log-loss, at any temperature, equals scikit-learn's on the probabilities."""
    from sklearn.metrics import log_loss

    logits, labels = _drawn(seed)
    expected = log_loss(labels, classification.probabilities(logits, temperature=temperature), labels=range(4))
    assert classification.log_loss(logits, labels, temperature=temperature) == pytest.approx(expected, rel=1e-9)


def test_scores_are_those_of_scikit_learn() -> None:
    """Confusion, recall, precision and balanced accuracy equal scikit-learn's."""
    from sklearn import metrics as reference

    logits, labels = _drawn(1)
    predicted = logits.argmax(1)
    recall, precision, n = classification.per_class(logits, labels, 4)
    assert np.array_equal(classification.confusion(logits, labels, 4), reference.confusion_matrix(labels, predicted))
    assert recall == pytest.approx(reference.recall_score(labels, predicted, average=None))
    assert precision == pytest.approx(reference.precision_score(labels, predicted, average=None))
    assert n.sum() == 60
    assert classification.balanced_accuracy(logits, labels, 4) == pytest.approx(
        reference.balanced_accuracy_score(labels, predicted)
    )


def test_absent_classes_have_no_score() -> None:
    """A class without images has no recall, one that is never predicted no precision, and neither moves the balance."""
    logits = np.array([[2.0, 0.0, 0.0], [3.0, 1.0, 0.0]])
    recall, precision, n = classification.per_class(logits, np.array([0, 1]), 3)
    assert list(n) == [1, 1, 0]
    assert recall[:2].tolist() == [1.0, 0.0]
    assert np.isnan(recall[2])
    assert precision[0] == 0.5
    assert np.isnan(precision[1:]).all()
    assert classification.balanced_accuracy(logits, np.array([0, 1]), 3) == 0.5


def test_nothing_to_score_is_nan() -> None:
    """Scores of no items are nan, never an error, and the temperature stays 1."""
    logits, labels = np.zeros((0, 3)), np.zeros(0, dtype=int)
    assert np.isnan(classification.accuracy(logits, labels))
    assert np.isnan(classification.log_loss(logits, labels))
    assert np.isnan(classification.ece(logits, labels))
    assert classification.fit_temperature(logits, labels) == 1.0


@given(st.integers(0, 10_000), st.floats(0.05, 30.0))
@settings(max_examples=20, deadline=None)
def test_temperature_minimises_the_smoothed_loss(seed: int, factor: float) -> None:
    """The temperature is where scipy finds the minimum of the smoothed log-loss, and scales with the logits."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, labels = _drawn(seed)
    logits = logits * factor
    smooth = 1 / (len(labels) + 2)
    targets = (1 - smooth) * np.eye(4)[labels] + smooth / 4

    def loss(log_t: float) -> float:
        return -float((targets * log_softmax(logits / np.exp(log_t), axis=1)).sum(1).mean())

    expected = float(np.exp(minimize_scalar(loss, bounds=(-7, 7), method="bounded", options={"xatol": 1e-9}).x))
    assert classification.fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-3)


def test_temperature_stays_finite_where_all_is_right() -> None:
    """Items that are all right, or all wrong, ask for a finite temperature above 0."""
    logits = np.eye(3)[[0, 1, 2, 0]]
    assert 0 < classification.fit_temperature(logits, np.array([0, 1, 2, 0])) < 1
    assert 1 < classification.fit_temperature(logits, np.array([1, 2, 0, 1])) <= 1e4
    assert np.isfinite(classification.fit_temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0])))


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """Four images at confidence 0.9 of which three are right have an error of 0.15."""
    logits = np.log(np.array([[0.9, 0.1]] * 4))
    assert classification.ece(logits, np.array([0, 0, 0, 1])) == pytest.approx(0.15)


def test_weights_count_items_several_times() -> None:
    """An item of weight 2 counts like two items, for the loss and for the temperature's first order."""
    logits, labels = _drawn(3, n=30)
    weights = np.ones(30)
    weights[:5] = 2
    rows = np.r_[np.arange(30), np.arange(5)]
    assert classification.log_loss(logits, labels, weights=weights) == pytest.approx(
        classification.log_loss(logits[rows], labels[rows])
    )


def test_many_classes_are_scored_in_pieces() -> None:
    """Logits larger than a piece give the same loss and temperature as a direct sum."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(300, 20_000)).astype(np.float32), rng.integers(0, 20_000, 300)
    z = logits.astype(np.float64)
    direct = np.log(np.exp(z).sum(1)) - z[np.arange(300), labels]
    assert classification.item_log_loss(logits, labels) == pytest.approx(direct)
