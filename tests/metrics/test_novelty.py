"""Images unlike the training images: p-values are uniform on images like those, and small on others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from advisor.metrics import intervals, novelty


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


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.3])
def test_the_threshold_decides_as_the_p_value_does(rate: float) -> None:
    """Below the stated similarity are the images that `unlike` flags; a rate that the index cannot reach is refused."""
    index = novelty.build(clusters(500, 0))
    assert index is not None
    images = np.concatenate([clusters(300, 1), clusters(50, 2, shift=4.0)])
    below = novelty.similarity(index, images) < novelty.threshold(index, rate)
    assert np.array_equal(below, novelty.unlike(index, images, rate))
    with pytest.raises(ValueError, match="no threshold"):
        novelty.threshold(index, 0.001)


def test_other_images_are_caught() -> None:
    """Images from elsewhere have small p-values."""
    index = novelty.build(clusters(500, 0))
    assert index is not None
    assert novelty.unlike(index, np.random.default_rng(3).standard_normal((200, 24)) * 3, 0.05).mean() > 0.9


def test_small_sets_get_no_index() -> None:
    """Under 20 training or known images no share is worth stating."""
    features = clusters(300, 0)
    assert novelty.build(features[:19]) is None
    assert novelty.build(features, features[:19]) is None


def test_similarity_is_the_mean_over_sklearns_neighbours() -> None:
    """Ten nearest by cosine, oneself left out where the known images are the training images; more queries than a piece."""
    features, new = clusters(300, 0), clusters(1100, 1)
    index = novelty.build(features)
    assert index is not None
    search = NearestNeighbors(n_neighbors=10, metric="cosine").fit(features)
    assert np.allclose(novelty.similarity(index, new), 1 - search.kneighbors(new)[0].mean(1), atol=2e-3)
    assert np.allclose(index.known_R, np.sort(1 - search.kneighbors()[0].mean(1)), atol=2e-3)
    assert index.smallest_rate == 1 / 301


def test_known_images_replace_the_training_images() -> None:
    """Where training images lie closer together than new ones, held-out images set the scale."""
    close = np.repeat(clusters(60, 0), 12, axis=0) + 0.01 * np.random.default_rng(0).standard_normal((720, 24))
    new = clusters(1000, 2)
    by_training, by_held_out = novelty.build(close), novelty.build(close, clusters(500, 1))
    assert by_training is not None
    assert by_held_out is not None
    assert novelty.unlike(by_training, new, 0.05).mean() > 0.5
    assert novelty.unlike(by_held_out, new, 0.05).mean() == pytest.approx(0.05, abs=0.03)


def test_false_alarms_are_counted_on_held_out_images() -> None:
    """The count is that of the p-values at or below the rate; without held-out images there are none of none."""
    index = novelty.build(clusters(400, 0))
    assert index is not None
    assert novelty.false_alarms(index, 0.1) == (0, 0)
    held_out = clusters(200, 1)
    counted = novelty.false_alarms(novelty.with_held_out(index, held_out), 0.1)
    assert counted == (int((novelty.p_values(index, held_out) <= 0.1).sum()), 200)


def test_false_alarms_on_copies_are_few_pieces_of_evidence() -> None:
    """The interval of 200 images is Wilson's; of 10 images, each 20 times, it is far wider, in any order of the images."""
    index = novelty.build(clusters(400, 0))
    assert index is not None
    held_out, groups = np.repeat(clusters(10, 1), 20, axis=0), np.repeat(np.arange(10), 20)
    single = novelty.with_held_out(index, held_out, np.arange(200))
    flagged, n = novelty.false_alarms(single, 0.5)
    assert novelty.false_alarm_interval(single, 0.5) == intervals.wilson(flagged, n)
    mixed = np.random.default_rng(0).permutation(200)
    low, high = novelty.false_alarm_interval(novelty.with_held_out(index, held_out[mixed], groups[mixed]), 0.5)
    right = novelty.p_values(index, held_out) <= 0.5
    assert (low, high) == pytest.approx(intervals.grouped_wilson(right, groups))
    assert high - low > 0.4


def test_copies_of_an_image_do_not_set_the_scale() -> None:
    """Scenes of near-copies: with their groups the rate is the one asked for; each image its own group changes no bit."""
    copies = np.repeat(clusters(50, 0), 12, axis=0) + 0.01 * np.random.default_rng(0).standard_normal((600, 24))
    scenes, new = np.repeat(np.arange(50), 12), clusters(1000, 2)
    grouped, plain = novelty.build(copies, groups_N=scenes), novelty.build(copies)
    assert grouped is not None
    assert plain is not None
    assert novelty.unlike(plain, new, 0.05).mean() > 0.5
    assert novelty.unlike(grouped, new, 0.05).mean() == pytest.approx(0.05, abs=0.04)
    singles = novelty.build(copies, groups_N=np.arange(600)[::-1])
    assert singles is not None
    assert np.array_equal(singles.known_R, plain.known_R)
    assert np.array_equal(singles.bank_ND, plain.bank_ND)


def test_neighbours_are_as_many_as_the_largest_group_leaves() -> None:
    """A group of nearly all images leaves few others, on both sides of the comparison; one group of all leaves no index."""
    features = clusters(30, 0)
    index = novelty.build(features, groups_N=np.where(np.arange(30) < 26, 0, np.arange(30)))
    assert index is not None
    assert index.k == 4
    assert np.isfinite(index.known_R).all()
    assert novelty.build(features, groups_N=np.zeros(30, dtype=int)) is None
