"""One factorization that every head on frozen features shares: features in -> standardised, rotated coordinates out.

Legend: N items, D features, R rank (at most min(N, D)), K classes. Features are centred and scaled by a standard
deviation that cannot become small (`scales`), then rotated onto their principal axes, where ridge regression is a
division and logistic regression is well conditioned. With more features than items the N x N matrix is factored
instead (dual form). Arithmetic is torch's, so that the run's number of threads governs it: float64 up to
`EXACT_WORK` multiply-adds, float32 products with a float64 factorization above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from advisor.aliases import Bools, Float32s, Folds, Ints
from advisor.heads.kind import HeadKind, TrainingRows
from advisor.heads.outputs import predict
from advisor.metrics import classification
from advisor.records import Head

if TYPE_CHECKING:
    from torch import Tensor

EXACT_WORK = 2e10
FLOOR = 1e-2  # share of a block's mean variance that is added to every variance (docs/design.md 6.15)


@dataclass(frozen=True)
class Spectrum:
    """Standardised features x = (raw - mean) * scale in principal axes, rows weighted by the root of their weight.

    scores (N, R): row i is sqrt(weights[i]) * x_i @ basis, basis (D, R); scores' scores = diag(values), largest first.
    mean, scale: (D,); values: (R,); weights: (N,).
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor
    values: Tensor
    scores: Tensor
    weights: Tensor

    @property
    def total(self) -> float:
        """Sum of the squared standardised features over items: what ridge strengths are a share of."""
        return float(self.values.sum())

    def unrotate(self, coefficients_RK: Tensor, offset_K: Tensor) -> tuple[Tensor, Tensor]:
        """Turn a linear map of the rotated coordinates into (weight (K, D), bias (K,)) for raw features, float32."""
        weight_DK = (self.basis @ coefficients_RK) * self.scale[:, None]
        bias_K = offset_K - self.mean @ weight_DK
        return weight_DK.T.float().contiguous(), bias_K.float()


def item_weights(labels: NDArray[np.integer], classes: int, class_weights: str) -> NDArray[np.float64]:
    """Return each item's weight: 1, or with "balanced" what makes every present class weigh the same; mean 1."""
    if class_weights != "balanced":
        return np.ones(len(labels))
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(len(labels) / (np.count_nonzero(counts) * counts[labels].astype(np.float64)))


def scales(variance_D: Tensor, blocks: Sequence[int] = ()) -> Tensor:
    """Return the factor of each feature, 1 / sqrt(variance + FLOOR * the block's mean variance).

    A feature that hardly varies keeps its small size instead of being blown up to 1. `blocks` are the widths of runs of
    features of one origin (stages), each with its own floor; () is one block. A block that never varies is scaled by 0.
    """
    widths = list(blocks) or [len(variance_D)]
    floors = torch.cat([FLOOR * part.mean().expand(len(part)) for part in variance_D.split_with_sizes(widths)])
    total = variance_D + floors
    return torch.where(total > 0, total.clamp_min(torch.finfo(total.dtype).tiny).rsqrt(), torch.zeros_like(total))


def standardiser(
    features_ND: NDArray[np.float32], weights_N: NDArray[np.float64], blocks: Sequence[int] = ()
) -> tuple[Tensor, Tensor]:
    """Return (mean (D,), scale (D,)) in float64, weighted by item."""
    raw = torch.from_numpy(np.ascontiguousarray(features_ND, dtype=np.float32))
    weights = torch.from_numpy(weights_N)
    mean = torch.zeros(raw.shape[1], dtype=torch.float64)
    for rows in _runs(len(raw), 4096):
        mean += weights[rows] @ raw[rows].double()
    mean /= weights.sum()
    variance = torch.zeros_like(mean)
    for rows in _runs(len(raw), 4096):
        variance += weights[rows] @ (raw[rows].double() - mean) ** 2
    return mean, scales(variance / weights.sum(), blocks)


def factor(
    features_ND: NDArray[np.float32],
    *,
    weights_N: NDArray[np.float64] | None = None,
    blocks: Sequence[int] = (),
) -> Spectrum:
    """Standardise and factor (N, D) features once. Only features are looked at, never labels.

    Raises ValueError where a feature is not finite.
    """
    N, D = features_ND.shape
    if not np.isfinite(features_ND).all():
        bad = int((~np.isfinite(features_ND).all(axis=1)).sum())
        raise ValueError(f"features of {bad} of {N} images are not finite")
    weights_np = np.ones(N) if weights_N is None else weights_N
    mean, scale = standardiser(features_ND, weights_np, blocks)
    dtype = torch.float64 if N * D * min(N, D) <= EXACT_WORK else torch.float32
    weights = torch.from_numpy(weights_np)
    x = (torch.from_numpy(features_ND).to(dtype) - mean.to(dtype)) * scale.to(dtype)
    x *= weights.sqrt().to(dtype)[:, None]
    values, vectors = torch.linalg.eigh(_gram(x if D <= N else x.T))
    keep = values > max(float(values[-1]), 0.0) * min(N, D) * torch.finfo(dtype).eps
    keep = keep.flip(0)
    values, vectors = values.flip(0)[keep], vectors.flip(1)[:, keep].to(dtype)
    if D <= N:
        basis, scores = vectors, x @ vectors
    else:
        scores = vectors * values.sqrt().to(dtype)
        basis = x.T @ (vectors / values.sqrt().to(dtype))
    return Spectrum(mean.to(dtype), scale.to(dtype), basis, values.to(dtype), scores, weights.to(dtype))


def _gram(x_NM: Tensor) -> Tensor:
    """Return x' x in float64, products in x's own precision, summed in float64 over blocks of rows."""
    if x_NM.dtype == torch.float64:
        return x_NM.T @ x_NM
    total = torch.zeros(x_NM.shape[1], x_NM.shape[1], dtype=torch.float64)
    for rows in _runs(len(x_NM), 8192):
        total += x_NM[rows].T @ x_NM[rows]
    return total


def _runs(n: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, n, step)]


@dataclass(frozen=True)
class StandardisedRows:
    """Rows x = (features - mean) * scale. `in_company` marks items whose class has another item."""

    x_ND: Tensor
    labels_N: Tensor
    mean_D: Tensor
    scale_D: Tensor
    in_company: Bools
    labels: Ints

    @staticmethod
    def of(rows: TrainingRows) -> StandardisedRows:
        """Standardise by the mean and deviations of the rows themselves."""
        mean_D, scale_D = standardiser(rows.features, np.ones(len(rows.labels)), rows.blocks)
        x_ND = ((torch.from_numpy(np.array(rows.features, dtype=np.float32)) - mean_D) * scale_D).float()
        labels_N = torch.from_numpy(np.asarray(rows.labels, dtype=np.int64))
        in_company = torch.bincount(labels_N, minlength=rows.classes)[labels_N].numpy() > 1
        return StandardisedRows(x_ND, labels_N, mean_D, scale_D, in_company, rows.labels)

    def calibration(self, left_out_NK: Tensor) -> float:
        """Return the factor that calibrates leave-one-out scores; an item alone in its class has none."""
        return 1.0 / classification.fit_temperature(left_out_NK.numpy()[self.in_company], self.labels[self.in_company])


def fit_each_fold(kind: HeadKind, head: Head, rows: TrainingRows, folds: Folds) -> Float32s:
    """Return each validation row's logits from the head fitted on its fold's training rows, nan in other rows."""
    logits = np.full((len(rows.labels), rows.classes), np.nan, dtype=np.float32)
    for train, val in folds:
        logits[val] = predict(kind.fit(head, rows.take(train)), rows.features[val])
    return logits
