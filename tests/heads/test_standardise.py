"""The shared factorization: what it promises of its parts, and that nothing blows up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advisor.heads import standardise

pytestmark = pytest.mark.usefixtures("one_thread")


def _features(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(n + d).gamma(1.0, size=(n, d)).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(50, 20), (20, 50), (30, 30)])
def test_scores_are_the_features_in_principal_axes(n: int, d: int) -> None:
    """Scores times the axes give back the standardised features; their products are diagonal, largest first."""
    x = _features(n, d)
    spec = standardise.factor(x)
    z = (torch.from_numpy(x).double() - spec.mean) * spec.scale
    assert torch.allclose(spec.scores @ spec.basis.T, z, atol=1e-8)
    assert torch.allclose(spec.scores.T @ spec.scores, torch.diag(spec.values), atol=1e-6)
    assert torch.all(spec.values.diff() <= 0)
    assert len(spec.values) <= min(n - 1, d)
    assert spec.total == pytest.approx(float((z**2).sum()))


def test_float32_path_agrees_with_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large problems, computed in float32, give the same features back to single precision."""
    x = _features(60, 25)
    exact = standardise.factor(x)
    monkeypatch.setattr(standardise, "EXACT_WORK", 0.0)
    quick = standardise.factor(x)
    assert quick.scores.dtype == torch.float32
    assert torch.allclose(quick.values.double(), exact.values, rtol=1e-4)
    assert torch.allclose((quick.scores @ quick.basis.T).double(), exact.scores @ exact.basis.T, atol=1e-4)


def test_a_near_constant_feature_stays_small() -> None:
    """A feature with a millionth of the others' deviation is not blown up to theirs (docs/design.md 6.15)."""
    x = _features(100, 30)
    x[:, 0] = 1.0 + 1e-6 * x[:, 0]
    spec = standardise.factor(x)
    z = (torch.from_numpy(x).double() - spec.mean) * spec.scale
    deviation = z.std(0)
    assert deviation[0] < 1e-4
    assert deviation[1:].min() > 0.9
    assert spec.scale.max() < 20  # never more than 1 / (a tenth of the typical deviation)


def test_each_block_has_its_own_floor() -> None:
    """Stages of very different size are each brought to about unit deviation when their widths are told."""
    x = np.hstack([_features(80, 10) * 1e-3, _features(80, 10) * 1e3])
    apart, together = standardise.factor(x, blocks=(10, 10)), standardise.factor(x)
    small = (torch.from_numpy(x).double() - apart.mean)[:, :10].std(0)
    assert (small * apart.scale[:10]).min() > 0.9
    assert (small * together.scale[:10]).max() < 0.1


def test_features_that_are_not_finite_are_refused() -> None:
    """One line says how many images have features that are no numbers."""
    x = _features(10, 5)
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="features of 1 of 10 images are not finite"):
        standardise.factor(x)


def test_balanced_weights_make_classes_weigh_the_same() -> None:
    """Balanced item weights have mean 1 and the same sum for every class that is present."""
    labels = np.array([0] * 7 + [2] * 2 + [3])
    weights = standardise.item_weights(labels, 4, "balanced")
    assert weights.mean() == pytest.approx(1.0)
    assert np.bincount(labels, weights, minlength=4) == pytest.approx([10 / 3, 0, 10 / 3, 10 / 3])


def test_maps_of_rotated_coordinates_become_maps_of_raw_features() -> None:
    """A linear map of the axes equals its unrotated weight and bias on raw features."""
    x = _features(40, 60)
    spec = standardise.factor(x)
    draw = torch.Generator().manual_seed(0)
    inside = torch.randn(len(spec.values), 3, generator=draw, dtype=torch.float64)
    offset = torch.randn(3, generator=draw, dtype=torch.float64)
    weight, bias = spec.unrotate(inside, offset)
    expected = spec.scores @ inside + offset
    assert torch.allclose(torch.from_numpy(x) @ weight.T + bias, expected.float(), atol=1e-3)
