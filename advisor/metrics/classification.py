"""Scores of a classifier from its logits: (n, K) logits and (n,) labels in -> numbers out. numpy only.

Arithmetic is in the precision of the logits (float32 or float64), sums over items in float64. Means are over items,
never over batches. `temperature` divides logits. `weights` are per item and need no normalising.
Does NOT cover: intervals (`intervals`) or how logits come about (`models.inference`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from advisor.aliases import Floats, Ints

_CHUNK = 1 << 19  # logits looked at together: a piece stays in the processor's cache, whatever N and K are
_SCALE_RANGE = (1e-4, 1e4)


def probabilities(logits_nK: Floats, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return softmax(logits / temperature), (n, K), rows summing to 1."""
    z = np.asarray(logits_nK, dtype=np.float64) / temperature
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def item_log_loss(logits_nK: Floats, labels_n: Ints, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return minus the log-probability of each item's own class, (n,), natural logarithm."""
    losses = np.empty(len(labels_n), dtype=np.float64)
    for rows in _chunks(logits_nK):
        z = _below_zero(logits_nK[rows]) / _kind(logits_nK)(temperature)
        losses[rows] = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels_n[rows]]
    return losses


def log_loss(logits_nK: Floats, labels_n: Ints, *, temperature: float = 1.0, weights: Floats | None = None) -> float:
    """Return the mean log-loss over items; nan where there is none."""
    if len(labels_n) == 0:
        return float("nan")
    return float(np.average(item_log_loss(logits_nK, labels_n, temperature=temperature), weights=weights))


def accuracy(logits_nK: Floats, labels_n: Ints) -> float:
    """Return the share of items whose largest logit is their class's; nan where there is none."""
    return float(np.mean(np.argmax(logits_nK, axis=1) == labels_n)) if len(labels_n) else float("nan")


def confusion(logits_nK: Floats, labels_n: Ints, classes: int) -> NDArray[np.int64]:
    """Count items: [i, j] is how many of class i were taken for class j, (K, K)."""
    table = np.zeros((classes, classes), dtype=np.int64)
    if len(labels_n):
        np.add.at(table, (labels_n, np.argmax(logits_nK, axis=1)), 1)
    return table


def per_class(
    logits_nK: Floats, labels_n: Ints, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return (recall, precision, n) per class; recall is nan where n is 0, precision where nothing was taken for it."""
    table = confusion(logits_nK, labels_n, classes)
    n, predicted, right = table.sum(axis=1), table.sum(axis=0), np.diag(table).astype(np.float64)
    recall = np.divide(right, n, out=np.full(classes, np.nan), where=n > 0)
    precision = np.divide(right, predicted, out=np.full(classes, np.nan), where=predicted > 0)
    return recall, precision, n


def balanced_accuracy(logits_nK: Floats, labels_n: Ints, classes: int) -> float:
    """Return the mean recall over the classes that have items; nan where none has."""
    recall = per_class(logits_nK, labels_n, classes)[0]
    present = recall[~np.isnan(recall)]
    return float(present.mean()) if present.size else float("nan")


def ece(logits_nK: Floats, labels_n: Ints, *, temperature: float = 1.0, bins: int = 15) -> float:
    """Return the expected calibration error of the top class over equal-width bins of confidence, 0..1.

    Source: Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """
    if len(labels_n) == 0:
        return float("nan")
    p = probabilities(logits_nK, temperature=temperature)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels_n
    bin_n = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_n, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels_n))


def fit_temperature(logits_nK: Floats, labels_n: Ints, *, weights: Floats | None = None, start: float = 1.0) -> float:
    """Find the temperature above 0 that makes softmax(logits / temperature) likeliest on these held-out items.

    Labels are smoothed by one item's worth of evidence (Platt's correction), so that a few items that are all right
    do not ask for a temperature of 0. The loss is convex in 1 / temperature: Newton's method inside a bracket,
    from `start`.
    Gives 1 where there are no items.
    """
    if len(labels_n) == 0:
        return 1.0
    low, high = _SCALE_RANGE
    scale = float(np.clip(1.0 / start, low, high))
    for _ in range(60):
        slope, curve = _scale_derivatives(logits_nK, labels_n, scale, weights)
        if slope > 0:
            high = scale
        else:
            low = scale
        proposal = scale - slope / curve if curve > 0 else np.inf
        if not low < proposal < high:
            proposal = float(np.sqrt(low * high))
        if abs(proposal - scale) <= 1e-5 * scale:
            return float(1.0 / proposal)
        scale = proposal
    return float(1.0 / scale)


def _scale_derivatives(logits_nK: Floats, labels_n: Ints, scale: float, weights: Floats | None) -> tuple[float, float]:
    """Return the first and second derivative of the smoothed mean log-loss by the factor on the logits."""
    smooth = 1.0 / (len(labels_n) + 2.0)
    slope = curve = total = 0.0
    for rows in _chunks(logits_nK):
        z = _below_zero(logits_nK[rows])
        p = np.exp(_kind(z)(scale) * z)
        norm = p.sum(axis=1)
        p *= z
        mean = p.sum(axis=1) / norm
        spread = np.einsum("nk,nk->n", p, z) / norm - mean**2
        target = (1 - smooth) * z[np.arange(len(z)), labels_n[rows]] + smooth * z.mean(axis=1)
        w = np.ones(len(z)) if weights is None else np.asarray(weights[rows], dtype=np.float64)
        slope += float(w @ (mean - target))
        curve += float(w @ spread)
        total += float(w.sum())
    return slope / total, curve / total


def _kind(logits_nK: Floats) -> type[np.floating]:
    return np.float32 if logits_nK.dtype == np.float32 else np.float64


def _below_zero(logits_nK: Floats) -> Floats:
    """Shift each row so that its largest logit is 0: the same probabilities, and no overflow."""
    z = np.asarray(logits_nK, dtype=_kind(logits_nK))
    return np.asarray(z - z.max(axis=1, keepdims=True))


def _chunks(logits_nK: Floats) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, logits_nK.shape[1]))
    for start in range(0, len(logits_nK), step):
        yield slice(start, start + step)
