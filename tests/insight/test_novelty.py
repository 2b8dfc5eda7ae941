"""Images unlike the training images: p-values are uniform on images like those, and small on others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from advisor.insight import novelty


def clusters(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Draw features around four centres, or elsewhere."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((4, 24)) * 3
    return centres[draw.integers(0, 4, count)] + draw.standard_normal((count, 24)) + shift


def test_the_rate_of_false_alarms_is_the_rate_asked_for() -> None:
    """p-values of held-out images of the same kind are uniform (scipy's Kolmogorov-Smirnov test does not object)."""
    index = novelty.build(clusters(2000, 0))
    assert index is not None
    p = novelty.p_values(index, clusters(1000, 1))
    assert stats.kstest(p, "uniform").pvalue > 0.001
    for rate in (0.05, 0.2):
        assert novelty.unlike(index, clusters(1000, 2), rate).mean() == pytest.approx(rate, abs=0.03)


def test_other_images_are_caught() -> None:
    """Images from elsewhere have small p-values."""
    index = novelty.build(clusters(500, 0))
    assert index is not None
    assert novelty.unlike(index, np.random.default_rng(3).standard_normal((200, 24)) * 3, 0.05).mean() > 0.9


def test_large_sets_keep_a_part_and_small_ones_no_index() -> None:
    """The index is bounded, the same seed keeps the same part; under 20 images there is none."""
    features = clusters(300, 0)
    index = novelty.build(features, most=100)
    again = novelty.build(features, most=100)
    assert index is not None
    assert again is not None
    assert index.bank_ND.shape == (100, 24)
    assert np.array_equal(index.bank_ND, again.bank_ND)
    assert novelty.build(features[:19]) is None
