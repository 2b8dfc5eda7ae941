"""Ridge regression against doing it by hand: leave-one-out fits, folds, both forms, with and without weights."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.data import splits
from advisor.heads import ridge, standardise
from advisor.metrics import classification

pytestmark = pytest.mark.usefixtures("one_thread")


def _digits(n: int, d: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Give n handwritten digits of four classes as d features (random products where d > 64)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=4, return_X_y=True)
    pixels = images[:n].astype(np.float32)
    if d > 64:
        pixels = np.maximum(pixels @ np.random.default_rng(seed).normal(size=(64, d)).astype(np.float32), 0)
    return pixels[:, :d], labels[:n]


def _by_hand(x: np.ndarray, y: np.ndarray, w: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Solve the weighted ridge problem with a free intercept in its primal form."""
    a = np.hstack([x, np.ones((len(x), 1))])
    ridge_part = penalty * np.diag([1.0] * x.shape[1] + [0.0])
    solution = np.linalg.solve(a.T @ (w[:, None] * a) + ridge_part, a.T @ (w[:, None] * np.eye(4)[y]))
    return solution[:-1], solution[-1]


def _standardised(features: np.ndarray, w: np.ndarray) -> np.ndarray:
    mean, scale = standardise.standardiser(features, w)
    return (features - mean.numpy()) * scale.numpy()


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize("d", [40, 200])
def test_leave_one_out_is_exact(d: int, class_weights: str) -> None:
    """The shortcut equals refitting without each item in turn, for fewer and for more features than items."""
    x, y = _digits(60, d)
    y = np.where((y == 3) & (np.arange(60) % 3 > 0), 0, y)  # uneven classes
    w = standardise.item_weights(y, 4, class_weights)
    z = _standardised(x, w)
    strength = 0.01
    penalty = strength * float((w[:, None] * z**2).sum())
    fits = ridge.regularisation_path(x, y, 4, (strength,), class_weights=class_weights)
    for i in range(0, 60, 7):
        keep = np.arange(60) != i
        slope, offset = _by_hand(z[keep], y[keep], w[keep], penalty)
        assert fits.loo_logits[i] * fits.temperatures[0] == pytest.approx(z[i] @ slope + offset, abs=1e-5)


@pytest.mark.parametrize("d", [40, 200])
def test_the_head_is_that_of_scikit_learn(d: int) -> None:
    """Weight and bias for raw features give scikit-learn's ridge predictions on standardised ones, times 1 / T."""
    from sklearn.linear_model import Ridge

    x, y = _digits(80, d)
    z = _standardised(x, np.ones(80))
    fits = ridge.regularisation_path(x, y, 4, (0.003,))
    expected = Ridge(alpha=0.003 * float((z**2).sum())).fit(z, np.eye(4)[y]).predict(z)
    given = (x @ fits.weight.T + fits.bias) * fits.temperatures[fits.best]
    assert given == pytest.approx(expected, abs=1e-3)


def test_every_strength_has_its_own_score() -> None:
    """The path scores all strengths, strongest first, and picks the lowest calibrated log-loss."""
    x, y = _digits(90, 200)
    fits = ridge.regularisation_path(x, y, 4)
    assert list(fits.strengths) == sorted(ridge.GRID, reverse=True)
    assert fits.best == int(np.argmin(fits.log_loss))
    alone = ridge.regularisation_path(x, y, 4, (fits.strengths[4],))
    assert alone.log_loss[0] == pytest.approx(fits.log_loss[4])
    assert classification.log_loss(fits.loo_logits, y) == pytest.approx(fits.log_loss[fits.best], rel=1e-4)
    assert classification.accuracy(fits.loo_logits, y) == fits.accuracy[fits.best]


@pytest.mark.parametrize("d", [40, 200])
def test_folds_are_exact(d: int) -> None:
    """Held-out predictions from one factorization equal a fit on each fold's training rows."""
    x, y = _digits(60, d)
    z = _standardised(x, np.ones(60))
    folds = splits.folds(y, k=3, seed=1)
    outputs = ridge.held_out(x, y, 4, folds, 0.02)
    for train, val in folds:
        penalty = 0.02 * float((z**2).sum()) * len(train) / 60
        slope, offset = _by_hand(z[train], y[train], np.ones(len(train)), penalty)
        assert outputs[val] == pytest.approx(z[val] @ slope + offset, abs=1e-4)


def test_rows_of_no_fold_have_no_output() -> None:
    """Rows that no fold validates are nan."""
    x, y = _digits(40)
    train, val = splits.folds(y, k=4, seed=0)[0]
    outputs = ridge.held_out(x, y, 4, [(train, val)], 0.1)
    assert np.isnan(outputs[train]).all()
    assert np.isfinite(outputs[val]).all()


def test_results_repeat_to_the_bit() -> None:
    """The same call gives the same bits."""
    x, y = _digits(80, 200)
    a, b = ridge.regularisation_path(x, y, 4), ridge.regularisation_path(x, y, 4)
    assert np.array_equal(a.weight, b.weight)
    assert np.array_equal(a.loo_logits, b.loo_logits)


def test_degenerate_features_are_survived() -> None:
    """Constant features, repeated rows and a class with one image give finite heads."""
    x, y = _digits(30)
    x = np.repeat(x[:10], 3, axis=0)
    y = np.repeat(y[:10], 3)
    y[0] = 3
    for features in (x, np.zeros_like(x), np.ones_like(x)):
        fits = ridge.regularisation_path(features, y, 4)
        assert np.isfinite(fits.weight).all()
        assert np.isfinite(fits.bias).all()
        assert np.isfinite(fits.log_loss).all()
