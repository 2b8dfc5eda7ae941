"""Logistic regression against scikit-learn, one fold and many."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.data import splits
from advisor.heads import logistic, logistic_solver, standardise
from advisor.metrics import classification

pytestmark = pytest.mark.usefixtures("one_thread")


def _digits(n: int = 90, d: int = 64) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=4, return_X_y=True)
    pixels = images[:n].astype(np.float32)
    if d > 64:
        pixels = np.maximum(pixels @ np.random.default_rng(0).normal(size=(64, d)).astype(np.float32), 0)
    return pixels, labels[:n]


def _reference(x: np.ndarray, y: np.ndarray, c: float, weights: np.ndarray) -> np.ndarray:
    """Give scikit-learn's logits on these standardised features, centred over classes."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, tol=1e-8, max_iter=2000).fit(x, y, sample_weight=weights)
    logits = x @ model.coef_.T + model.intercept_
    return np.asarray(logits - logits.mean(1, keepdims=True))


def _standardised(features: np.ndarray) -> np.ndarray:
    mean, scale = standardise.standardiser(features, np.ones(len(features)))
    return np.asarray((features - mean.numpy()) * scale.numpy())


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize(("d", "c"), [(64, 0.01), (64, 1.0), (200, 0.05)])
def test_the_fit_is_that_of_scikit_learn(d: int, c: float, class_weights: str) -> None:
    """Logits on the training images equal scikit-learn's (up to what all classes share), also with class weights."""
    x, y = _digits(d=d)
    y = np.where((y == 3) & (np.arange(len(y)) % 3 > 0), 0, y)
    weight, bias = logistic.fit(x, y, 4, c, class_weights=class_weights)
    logits = x @ weight.T + bias
    expected = _reference(_standardised(x), y, c, standardise.item_weights(y, 4, class_weights))
    assert logits - logits.mean(1, keepdims=True) == pytest.approx(expected, abs=0.02)


def test_folds_in_one_computation_equal_folds_one_by_one() -> None:
    """Out-of-fold logits of the batched path equal scikit-learn's fitted on each fold's training rows."""
    x, y = _digits()
    folds = splits.folds(y, k=3, seed=0)
    fits = logistic.path(x, y, 4, folds, (0.03,))
    z = _standardised(x)
    for train, val in folds:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=0.03, tol=1e-8, max_iter=2000).fit(z[train], y[train])
        assert classification.probabilities(fits.oof_logits[val]) == pytest.approx(
            model.predict_proba(z[val]), abs=0.01
        )


def test_problems_that_do_not_fit_together_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solving the folds one after another changes nothing."""
    x, y = _digits()
    folds = splits.folds(y, k=3, seed=0)
    together = logistic.path(x, y, 4, folds, (0.1,))
    monkeypatch.setattr(logistic_solver, "_BATCH_ENTRIES", 1)
    apart = logistic.path(x, y, 4, folds, (0.1,))
    assert apart.oof_logits == pytest.approx(together.oof_logits, abs=1e-2)


def test_the_path_rises_and_keeps_the_mildest_good_one() -> None:
    """The c's rise, no smaller one than the best is nearly as good, and its logits are the ones returned."""
    x, y = _digits(60, 200)
    fits = logistic.path(x, y, 4, splits.folds(y, k=3, seed=0))
    assert list(fits.cs) == sorted(fits.cs)
    assert set(fits.cs) <= set(logistic.GRID)
    lowest = min(fits.log_loss)
    enough = lowest + 0.01 * (fits.log_loss[0] - lowest)
    assert fits.log_loss[fits.best] <= enough
    assert all(loss > enough for loss in fits.log_loss[: fits.best])
    assert classification.log_loss(fits.oof_logits, y) == pytest.approx(fits.log_loss[fits.best])


def test_float32_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large problems run in float32 and end at the same probabilities."""
    x, y = _digits()
    exact = logistic.fit(x, y, 4, 0.1)
    monkeypatch.setattr(logistic_solver, "_EXACT_WORK", 0.0)
    quick = logistic.fit(x, y, 4, 0.1)
    given, expected = (classification.probabilities(x @ w.T + b) for w, b in (quick, exact))
    assert given == pytest.approx(expected, abs=5e-3)


def test_a_class_missing_from_a_fold_is_survived() -> None:
    """A training part without one of the classes gives finite logits that never prefer it."""
    x, y = _digits()
    train = np.flatnonzero(y != 3)
    val = np.flatnonzero(y == 3)
    fits = logistic.path(x, y, 4, [(train, val)], (0.1,))
    assert np.isfinite(fits.oof_logits[val]).all()
    assert (fits.oof_logits[val].argmax(1) != 3).all()


def test_no_fold_is_refused() -> None:
    """Without a fold there is nothing to choose by, and the message says what is missing."""
    x, y = _digits(8)
    with pytest.raises(ValueError, match="at least one fold"):
        logistic.path(x, y, 4, [])
