"""Classes as points in feature space: mean prototypes, cosine prototypes and nearest neighbours, as formulas on arrays.

Legend: N items, D features, K classes, M bank items. Features are standardised (`spectrum.standardiser`). Every score
comes with its leave-one-out version (an item is taken out of its own prototype, or out of its own neighbours), from
which the temperature is fitted. Rows need no order: means are taken by label (docs/design.md 6.11).
Source: Snell et al. 2017, arXiv:1703.05175; Wu et al. 2018, arXiv:1805.01978 (weighted neighbours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

ABSENT = -30.0  # score of a class that has no item: never first, and no infinity in a loss
_ROWS = 1024


def means(x_ND: Tensor, labels_N: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return (mean of each class (K, D), items of each class (K,)); zeros for a class without items."""
    counts_K = torch.bincount(labels_N, minlength=classes)
    sums_KD = torch.zeros(classes, x_ND.shape[1], dtype=x_ND.dtype).index_add_(0, labels_N, x_ND)
    return sums_KD / counts_K.clamp_min(1)[:, None], counts_K


def euclidean(x_ND: Tensor, labels_N: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return (weight (K, D), bias (K,), leave-one-out scores (N, K)) of minus half the squared distance to class means.

    The term that all classes share is left out, so scores are linear in x. They are divided by D, so that their size
    does not grow with the width.
    """
    mean_KD, counts_K = means(x_ND, labels_N, classes)
    width = x_ND.shape[1]
    weight_KD = mean_KD / width
    bias_K = torch.where(counts_K > 0, -0.5 * mean_KD.square().sum(1) / width, torch.tensor(ABSENT, dtype=x_ND.dtype))
    scores_NK = x_ND @ weight_KD.T + bias_K
    n_N1 = counts_K[labels_N, None].to(x_ND.dtype)
    without_ND = (n_N1 * mean_KD[labels_N] - x_ND) / (n_N1 - 1).clamp_min(1)
    own_N = ((x_ND * without_ND).sum(1) - 0.5 * without_ND.square().sum(1)) / width
    return weight_KD, bias_K, scores_NK.scatter(1, labels_N[:, None], own_N[:, None])


def cosine(x_ND: Tensor, labels_N: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return (unit prototypes (K, D), leave-one-out cosines (N, K)); prototypes are means of unit vectors, made unit."""
    unit_ND = torch.nn.functional.normalize(x_ND)
    mean_KD, counts_K = means(unit_ND, labels_N, classes)
    weight_KD = torch.nn.functional.normalize(mean_KD)
    n_N1 = counts_K[labels_N, None].to(x_ND.dtype)
    without_ND = torch.nn.functional.normalize(n_N1 * mean_KD[labels_N] - unit_ND)
    own_N = (unit_ND * without_ND).sum(1)
    return weight_KD, (unit_ND @ weight_KD.T).scatter(1, labels_N[:, None], own_N[:, None])


def neighbours(
    queries_nD: Tensor,
    bank_MD: Tensor,
    labels_M: Tensor,
    classes: int,
    *,
    k: int,
    sharpness: float,
    leave_one_out: bool = False,
) -> Tensor:
    """Return log-shares of the classes among the k nearest bank items by cosine, weighted by exp(cosine / sharpness).

    Both sides are unit vectors. `leave_one_out`: query i is bank item i and is no neighbour of itself. Shares are mixed with a
    hundredth of the uniform distribution, so that a class that is no neighbour has a finite score.
    """
    k = max(1, min(k, len(bank_MD) - int(leave_one_out)))
    parts = []
    for start in range(0, len(queries_nD), _ROWS):
        cosine_nM = queries_nD[start : start + _ROWS] @ bank_MD.T
        if leave_one_out:
            cosine_nM.diagonal(start).fill_(-2.0)
        near_nk, which_nk = cosine_nM.topk(k, dim=1)
        weight_nk = torch.softmax(near_nk / sharpness, dim=1)
        is_class_nkK = torch.nn.functional.one_hot(labels_M[which_nk], classes).to(weight_nk.dtype)
        parts.append(torch.einsum("nk,nkc->nc", weight_nk, is_class_nkK))
    share_nK = torch.cat(parts) if parts else queries_nD.new_zeros(0, classes)
    return torch.log(0.99 * share_nK + 0.01 / classes)
