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


def test_copies_make_no_bin_surer() -> None:
    """Twelve images, each ten times, leave bins as uncertain as few images do; a group for each image changes nothing."""
    probabilities_NK, labels_N = np.tile([0.8, 0.2], (120, 1)), np.repeat(np.arange(12) % 4 == 0, 10).astype(np.int64)
    copies = reliability.measure(probabilities_NK, labels_N, np.repeat(np.arange(12), 10)).bins
    apart = reliability.measure(probabilities_NK, labels_N).bins
    assert all(c.ci95[1] - c.ci95[0] > 1.5 * (a.ci95[1] - a.ci95[0]) for c, a in zip(copies, apart, strict=True))
    assert reliability.measure(probabilities_NK, labels_N, np.arange(120)).bins == apart


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


def test_few_right_answers_are_not_underconfidence() -> None:
    """Ten images that are all right at 90 % confidence happen to a perfect model in a third of cases."""
    table_NK = np.tile([0.9, 0.1], (10, 1)) + np.linspace(-0.01, 0.01, 10)[:, None] * [1, -1]
    measured = reliability.measure(table_NK, np.zeros(10, dtype=np.int64))
    assert measured.overconfidence == pytest.approx(-0.1)
    assert measured.ci95[0] < 0 < measured.ci95[1]


def test_a_calibrated_model_is_rarely_called_over_or_underconfident() -> None:
    """The interval of 20 images at 93 % confidence misses zero in about one of twenty cases, not in a quarter."""
    draw = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        sure_N = draw.uniform(0.88, 0.98, 20)
        table_NK = np.stack([sure_N, 1 - sure_N], axis=1)
        low, high = reliability.measure(table_NK, (draw.random(20) > sure_N).astype(np.int64)).ci95
        missed += not low <= 0 <= high
    assert missed <= 0.08 * 300


def test_copies_of_an_image_are_one_piece_of_evidence() -> None:
    """Twenty images, ten times each, say no more than twenty; one group says nothing."""
    logits_NK, labels_N = calibrated(20, sharper=3.0)
    table_NK = classification.probabilities(logits_NK)
    once = reliability.measure(table_NK, labels_N)
    copies = reliability.measure(np.repeat(table_NK, 10, 0), np.repeat(labels_N, 10), np.repeat(np.arange(20), 10))
    assert copies.ci95 == pytest.approx(once.ci95)
    assert reliability.measure(table_NK, labels_N, np.zeros(20, dtype=np.int64)).ci95[1] == 1.0


def test_chance_explains_as_much_with_copies_as_without() -> None:
    """Ten copies of 40 images leave the error that chance explains where it was, not at that of 400 images."""
    logits_NK, labels_N = calibrated(40, seed=1)
    table_NK = classification.probabilities(logits_NK)
    once = reliability.measure(table_NK, labels_N).ece_by_chance
    table_NK, labels_N, groups_N = np.repeat(table_NK, 10, 0), np.repeat(labels_N, 10), np.repeat(np.arange(40), 10)
    copies = reliability.measure(table_NK, labels_N, groups_N).ece_by_chance
    assert reliability.measure(table_NK, labels_N).ece_by_chance < 0.6 * once
    assert copies == pytest.approx(once, rel=0.1)


def test_groups_whose_images_have_nothing_in_common_change_little() -> None:
    """Images that are right independently of their group are nearly as many pieces of evidence as images."""
    logits_NK, labels_N = calibrated(900)
    table_NK, groups_N = classification.probabilities(logits_NK), np.arange(900) // 10
    alone = reliability.measure(table_NK, labels_N).ece_by_chance
    assert reliability.measure(table_NK, labels_N, groups_N).ece_by_chance < 1.4 * alone
