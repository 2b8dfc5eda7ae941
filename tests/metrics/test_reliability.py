"""Reliability of probabilities: bins, overconfidence and what chance explains, against scikit-learn and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from advisor.metrics import classification, reliability


def calibrated(images: int, *, sharper: float = 1.0, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true chance of each class, `sharper` times too large, and labels drawn from it."""
    draw = np.random.default_rng(seed)
    logits_NK = draw.normal(0, 1.5, (images, 3))
    chances_NK = classification.probabilities(logits_NK)
    labels_N = np.array([draw.choice(3, p=row) for row in chances_NK])
    return logits_NK * sharper, labels_N


def test_bins_are_those_of_scikit_learn() -> None:
    """Mean confidence and share of right answers per bin equal calibration_curve with quantile bins."""
    logits_NK, labels_N = calibrated(400)
    probabilities_NK = classification.probabilities(logits_NK)
    measured = reliability.measure(probabilities_NK, labels_N)
    right_N = probabilities_NK.argmax(1) == labels_N
    shares, means = calibration_curve(right_N, probabilities_NK.max(1), n_bins=10, strategy="quantile")
    assert np.allclose([b.accuracy for b in measured.bins], shares)
    assert np.allclose([b.confidence for b in measured.bins], means)
    assert sum(b.n for b in measured.bins) == 400
    assert all(b.ci95[0] <= b.accuracy <= b.ci95[1] for b in measured.bins)


def test_overconfidence_is_seen_and_calibration_is_within_chance() -> None:
    """Logits that are three times too large are overconfident beyond the interval; true ones are within chance."""
    for sharper, over in ((1.0, False), (3.0, True)):
        logits_NK, labels_N = calibrated(600, sharper=sharper)
        measured = reliability.measure(classification.probabilities(logits_NK), labels_N)
        assert (measured.ci95[0] > 0) == over
        assert (classification.ece(logits_NK, labels_N) > measured.ece_by_chance) == over


def test_few_images_explain_a_large_error() -> None:
    """With 20 images a perfectly calibrated model shows errors that 2,000 images would rule out."""
    few, many = (
        reliability.measure(classification.probabilities(calibrated(n)[0]), calibrated(n)[1]) for n in (20, 2000)
    )
    assert few.ece_by_chance > 0.1 > many.ece_by_chance
    assert len(few.bins) == 1


def test_no_images_are_an_error() -> None:
    """Nothing can be said of nothing."""
    with pytest.raises(ValueError, match="at least one image"):
        reliability.measure(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
