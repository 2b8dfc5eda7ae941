"""How much of the source a tuned network has kept, measured without labels: plain functions on features and weights.

In: features (N, D) of the same images before and after, or weights by name before and after. Out: numbers in 0..1 where
1 means unchanged (CKA, neighbour agreement), and relative distances where 0 does. Source accuracy, where there are
labelled source images, is the accuracy before minus the accuracy after, of the same head on the same images.
Does NOT cover: which images to look at, or the network's forward pass (`models.features`).
Sources: Kornblith et al. 2019 (1905.00414), section 3; neighbour agreement as in Huh et al. 2024 (2405.07987).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.aliases import Floats

_ROWS = 1024


def linear_cka(before: Floats, after: Floats) -> float:
    """Return the linear centred kernel alignment of two sets of features of the same images, 0..1.

    Rotations and one scale of either set change nothing; widths may differ. nan where a set never varies.
    Raises ValueError where the numbers of images differ.
    """
    _same_images(before, after)
    x = np.asarray(before, dtype=np.float64) - before.mean(0, dtype=np.float64)
    y = np.asarray(after, dtype=np.float64) - after.mean(0, dtype=np.float64)
    if len(x) < max(x.shape[1], y.shape[1]):  # the same number from N x N kernels, where they are the smaller ones
        k, m = x @ x.T, y @ y.T
        cross, norms = float((k * m).sum()), float(np.linalg.norm(k) * np.linalg.norm(m))
    else:
        cross = float(np.linalg.norm(x.T @ y) ** 2)
        norms = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return cross / norms if norms > 0 else float("nan")


def neighbour_agreement(before: Floats, after: Floats, *, k: int = 10) -> float:
    """Return the mean share of an image's k nearest neighbours (by cosine) that it keeps, 0..1.

    By chance it is k / (N - 1). Raises ValueError where the numbers of images differ, or there are fewer than two.
    """
    _same_images(before, after)
    if len(before) < 2:
        raise ValueError("neighbours need at least two images")
    k = min(k, len(before) - 1)
    shared = 0
    for start in range(0, len(before), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(before)))
        first, second = _nearest(before, rows, k), _nearest(after, rows, k)
        shared += sum(len(np.intersect1d(a, b)) for a, b in zip(first, second, strict=True))
    return shared / (k * len(before))


def _nearest(features: Floats, rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    unit = np.asarray(features, dtype=np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    cosine = unit[rows] @ unit.T
    cosine[np.arange(len(rows)), rows] = -np.inf  # nobody is a neighbour of himself
    return np.asarray(np.argsort(-cosine, axis=1, kind="stable")[:, :k], dtype=np.int64)


def components(points: Sequence[NDArray[np.floating]]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the two main directions (2, D) of weights seen as points, the points' places (n, 2), and the share explained.

    Places are relative to the first point, so that it lies at the origin. Source: Li et al. 2018 (1712.09913), section 7.
    """
    moved = np.stack([np.asarray(p, dtype=np.float64) for p in points])
    moved = moved - moved[0]
    centred = moved - moved.mean(0)
    kernel = centred @ centred.T
    values, vectors = np.linalg.eigh(kernel)
    values, vectors = values[::-1], vectors[:, ::-1]
    two = [v for v in range(min(2, len(values))) if values[v] > 1e-12 * max(values[0], 1e-300)]
    directions = np.zeros((2, moved.shape[1]))
    for i in two:
        directions[i] = centred.T @ vectors[:, i] / values[i] ** 0.5
    share = float(values[two].sum() / values.sum()) if values.sum() > 0 else 1.0
    return directions, moved @ directions.T, share


def _same_images(before: Floats, after: Floats) -> None:
    if before.ndim != 2 or after.ndim != 2 or len(before) != len(after):
        raise ValueError(f"features of the same images are needed, (N, D) twice: got {before.shape} and {after.shape}")
