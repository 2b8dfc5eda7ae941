"""Forgetting measures: what leaves them unchanged, what they equal by definition, and their ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from small_network import backbone, classifier

from advisor.metrics import representation
from advisor.models import weight_ops
from advisor.models import weight_ops as weight_state


def features(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@given(st.integers(0, 10_000), st.integers(5, 60), st.integers(2, 40))
def test_cka_knows_no_rotation_and_no_scale(seed: int, n: int, d: int) -> None:
    """Features that are turned, scaled and shifted as a whole are the same features."""
    x = features(seed, n, d)
    turn = np.linalg.qr(features(seed + 1, d, d))[0]
    assert representation.linear_cka(x, 3.7 * x @ turn + 5) == pytest.approx(1.0, abs=1e-5)
    assert 0 <= representation.linear_cka(x, features(seed + 2, n, 3)) <= 1


@pytest.mark.parametrize(("n", "d"), [(50, 8), (8, 50)])
def test_cka_is_hsic_of_linear_kernels(n: int, d: int) -> None:
    """Both ways of computing it equal the definition by centred kernels."""
    x, y = features(0, n, d), features(1, n, d + 2) + np.pad(features(0, n, d), ((0, 0), (0, 2)))
    centre = np.eye(n) - 1 / n
    k, m = (centre @ (z.astype(float) @ z.T) @ centre for z in (x, y))
    expected = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert representation.linear_cka(x, y) == pytest.approx(expected, rel=1e-6)
    assert np.isnan(representation.linear_cka(x, np.ones((n, 3))))


def test_agreement_is_that_of_sets_of_neighbours() -> None:
    """It equals scikit-learn's neighbours compared as sets; identical features keep all, unrelated ones about chance."""
    x, y = features(0, 300, 12), features(1, 300, 12) + features(0, 300, 12)
    sets = []
    for z in (x, y):
        finder = NearestNeighbors(n_neighbors=10, metric="cosine").fit(z)
        sets.append(finder.kneighbors(return_distance=False))
    expected = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*sets, strict=True)])
    assert representation.neighbour_agreement(x, y) == pytest.approx(expected)
    assert representation.neighbour_agreement(x, 2 * x) == 1.0
    assert representation.neighbour_agreement(x, features(9, 300, 12)) == pytest.approx(10 / 299, abs=0.02)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many images are compared at once does not show."""
    x, y = features(0, 70, 5), features(1, 70, 5)
    whole = representation.neighbour_agreement(x, y)
    monkeypatch.setattr(representation, "_ROWS", 7)
    assert representation.neighbour_agreement(x, y) == whole


def test_other_images_are_refused() -> None:
    """Features of different images cannot be compared."""
    for measure in (representation.linear_cka, representation.neighbour_agreement):
        with pytest.raises(ValueError, match="same images"):
            measure(features(0, 5, 3), features(0, 6, 3))
    with pytest.raises(ValueError, match="two images"):
        representation.neighbour_agreement(features(0, 1, 3), features(0, 1, 3))


def test_distances_belong_to_stages() -> None:
    """A stage that did not move has 0; one whose weights were doubled has 1; buffers do not count."""
    network = classifier()
    start = weight_state.copy(network.body)
    assert set(weight_ops.stage_distances(backbone(), start, network.body).values()) == {0.0}
    with torch.no_grad():
        for parameter in network.body.layer_11.parameters():
            parameter.mul_(2)
        network.body.layer_1[1].running_mean.add_(9)
    distances = weight_ops.stage_distances(backbone(), start, network.body)
    assert distances == pytest.approx({"stem": 0.0, "middle": 1.0, "top": 0.0})
    moved = sum(float((v - start[k]).square().sum()) for k, v in weight_state.floats(network.body).items()) ** 0.5
    assert weight_ops.distance(start, network.body) == pytest.approx(moved)


def test_components_are_principal() -> None:
    """Places span what scikit-learn's PCA finds; the first point is the origin; a path that never moves is a point."""
    path = np.cumsum(features(3, 9, 40), axis=0)
    _, places, share = representation.components(list(path))
    reference = PCA(2).fit(path)
    expected = reference.transform(path) - reference.transform(path[:1])
    assert np.allclose(np.abs(places), np.abs(expected), atol=1e-3)
    assert np.allclose(places[0], 0)
    assert share == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-5)
    assert representation.components([np.ones(4)] * 3)[2] == 1.0
