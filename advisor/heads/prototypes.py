"""One mean feature per class: the head that assigns an image to the nearest, by Euclidean distance or by cosine.

Features are standardised (`standardise.standardiser`). Scores have a leave-one-out version (an item is taken out of its
own prototype), from which the temperature is fitted. Rows need no order: means are taken by label (docs/design.md 6.11).
Legend: N items, D features, K classes; E episodes, M support items, n queries, W ways.
Source: Snell et al. 2017, arXiv:1703.05175.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advisor.aliases import Float32s, Folds
from advisor.heads.kind import HeadModule, TrainingRows
from advisor.heads.linear_head import LinearHead
from advisor.heads.standardise import StandardisedRows, fit_each_fold
from advisor.records import Head

ABSENT = -30.0  # score of a class that has no item: never first, and no infinity in a loss


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


class CosineHead(HeadModule):
    """Logits = cosine of standardised features and unit prototypes, times a factor, plus an offset if there is one."""

    saved_as: ClassVar[str] = "cosine"

    def __init__(
        self,
        weight_KD: torch.Tensor,
        mean_D: torch.Tensor,
        scale_D: torch.Tensor,
        factor: float,
        offset_K: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_KD.detach().clone().float())
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.factor: torch.Tensor
        self.register_buffer("mean", mean_D.detach().clone().float())
        self.register_buffer("scale", scale_D.detach().clone().float())
        self.register_buffer("factor", torch.tensor(factor, dtype=torch.float32))
        self.offset: torch.Tensor | None
        self.register_buffer("offset", offset_K)  # None is in no state dict

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Map (N, D) to (N, K)."""
        unit = nn.functional.normalize((features_ND - self.mean) * self.scale)
        logits_NK = self.factor * (unit @ self.weight.T)
        return logits_NK if self.offset is None else logits_NK + self.offset

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> CosineHead:
        """Build the head from its state dict. Raises KeyError with the name of a missing tensor."""
        return cls(
            tensors["weight"], tensors["mean"], tensors["scale"], float(tensors["factor"]), tensors.get("offset")
        )

    def raised(self, offset_K: torch.Tensor) -> CosineHead:
        """Return the head with another offset."""
        offset_K = offset_K if self.offset is None else self.offset + offset_K
        return CosineHead(self.weight, self.mean, self.scale, float(self.factor), offset_K)


@dataclass(frozen=True)
class EuclideanKind:
    """The nearest class mean, which is linear in the features."""

    name: str = "prototypes"
    module: type[LinearHead] = LinearHead

    def fit(self, head: Head, rows: TrainingRows) -> LinearHead:
        """Compute the class means, with standardisation and temperature folded into weight and bias."""
        standard = StandardisedRows.of(rows)
        weight, bias, left_out = euclidean(standard.x_ND, standard.labels_N, rows.classes)
        factor = standard.calibration(left_out)
        folded = weight.double() * standard.scale_D * factor
        absent = bias == ABSENT
        return LinearHead(folded, torch.where(absent, bias, (bias * factor - folded @ standard.mean_D).float()))

    def oof(self, head: Head, rows: TrainingRows, folds: Folds, watch: Callable[[], None] | None) -> Float32s:
        """Return the logits of one fit per fold."""
        return fit_each_fold(self, head, rows, folds)

    def episodes(self, head: Head, support_EMD: Tensor, queries_EnD: Tensor, ways: int) -> Tensor:
        """Score queries by their distance to the mean of each class."""
        means_EWD = support_EMD.reshape(len(support_EMD), ways, -1, support_EMD.shape[2]).mean(2)
        return torch.as_tensor(queries_EnD @ means_EWD.mT - 0.5 * means_EWD.square().sum(2)[:, None])


@dataclass(frozen=True)
class CosineKind:
    """The class mean of unit vectors with the highest cosine."""

    name: str = "cosine_prototypes"
    module: type[CosineHead] = CosineHead

    def fit(self, head: Head, rows: TrainingRows) -> CosineHead:
        """Compute the means of unit vectors."""
        standard = StandardisedRows.of(rows)
        weight, left_out = cosine(standard.x_ND, standard.labels_N, rows.classes)
        return CosineHead(weight, standard.mean_D, standard.scale_D, standard.calibration(left_out))

    def oof(self, head: Head, rows: TrainingRows, folds: Folds, watch: Callable[[], None] | None) -> Float32s:
        """Return the logits of one fit per fold."""
        return fit_each_fold(self, head, rows, folds)

    def episodes(self, head: Head, support_EMD: Tensor, queries_EnD: Tensor, ways: int) -> Tensor:
        """Score queries by their cosine with the mean of each class."""
        unit_EMD = nn.functional.normalize(support_EMD, dim=2)
        means_EWD = unit_EMD.reshape(len(unit_EMD), ways, -1, unit_EMD.shape[2]).mean(2)
        return torch.as_tensor(
            nn.functional.normalize(queries_EnD, dim=2) @ nn.functional.normalize(means_EWD, dim=2).mT
        )


EUCLIDEAN, COSINE = EuclideanKind(), CosineKind()
