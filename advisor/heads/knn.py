"""The head of the k nearest neighbours: classes voted for by similar training images, weighted by their cosine.

Legend: N items, D features, K classes, M stored items; E episodes, n queries, W ways.
Source: Wu et al. 2018, arXiv:1805.01978 (weighted neighbours).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from advisor.aliases import Float32s, Folds
from advisor.heads.kind import HeadModule, TrainingRows
from advisor.heads.standardise import StandardisedRows, fit_each_fold
from advisor.records import Head

NEIGHBOURS = 15
SHARPNESS = 0.1
_ROWS = 1024


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


class KnnHead(HeadModule):
    """Logits = factor * log of the classes' shares among the k nearest of a bank of M standardised unit vectors, plus an
    offset if there is one."""

    saved_as: ClassVar[str] = "knn"

    def __init__(
        self,
        bank_MD: torch.Tensor,
        labels_M: torch.Tensor,
        mean_D: torch.Tensor,
        scale_D: torch.Tensor,
        settings: torch.Tensor,
        offset_K: torch.Tensor | None = None,
    ) -> None:
        """`settings` holds (classes, k, sharpness, factor), so that the state dict is the whole head."""
        super().__init__()
        self.bank: torch.Tensor
        self.labels: torch.Tensor
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.settings: torch.Tensor
        self.register_buffer("bank", bank_MD.detach().clone().float())
        self.register_buffer("labels", labels_M.detach().clone().long())
        self.register_buffer("mean", mean_D.detach().clone().float())
        self.register_buffer("scale", scale_D.detach().clone().float())
        self.register_buffer("settings", settings.detach().clone().double())
        self.offset: torch.Tensor | None
        self.register_buffer("offset", offset_K)  # None is in no state dict

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Map (N, D) to (N, K)."""
        classes, k, sharpness, factor = self.settings.tolist()
        unit = nn.functional.normalize((features_ND.float() - self.mean) * self.scale)
        shares = neighbours(unit, self.bank, self.labels, int(classes), k=int(k), sharpness=sharpness)
        logits_NK = torch.as_tensor(factor * shares)
        return logits_NK if self.offset is None else logits_NK + self.offset

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> KnnHead:
        """Build the head from its state dict. Raises KeyError with the name of a missing tensor."""
        bank_MD, labels_M, mean_D, scale_D = (tensors[name] for name in ("bank", "labels", "mean", "scale"))
        return cls(bank_MD, labels_M, mean_D, scale_D, tensors["settings"], tensors.get("offset"))

    def raised(self, offset_K: Tensor) -> KnnHead:
        """Return the head with another offset."""
        offset_K = offset_K if self.offset is None else self.offset + offset_K
        return KnnHead(self.bank, self.labels, self.mean, self.scale, self.settings, offset_K)


@dataclass(frozen=True)
class KnnKind:
    """Nearest neighbours; `k` and `temperature` in `Head.numbers`, or the defaults above."""

    name: str = "knn"
    module: type[KnnHead] = KnnHead

    def fit(self, head: Head, rows: TrainingRows) -> KnnHead:
        """Store all rows as unit vectors."""
        standard = StandardisedRows.of(rows)
        k, sharpness = int(head.numbers.get("k") or NEIGHBOURS), float(head.numbers.get("temperature") or SHARPNESS)
        unit, labels_N = nn.functional.normalize(standard.x_ND), standard.labels_N
        left_out = neighbours(unit, unit, labels_N, rows.classes, k=k, sharpness=sharpness, leave_one_out=True)
        settings = torch.tensor([rows.classes, k, sharpness, standard.calibration(left_out)], dtype=torch.float64)
        return KnnHead(unit, labels_N, standard.mean_D, standard.scale_D, settings)

    def oof(self, head: Head, rows: TrainingRows, folds: Folds, watch: Callable[[], None] | None) -> Float32s:
        """Return the logits of one fit per fold."""
        return fit_each_fold(self, head, rows, folds)

    def episodes(self, head: Head, support_EMD: Tensor, queries_EnD: Tensor, ways: int) -> Tensor:
        """Score queries by the shares of the classes among their nearest support items, by default one per shot."""
        shots = support_EMD.shape[1] // ways
        k = min(int(head.numbers.get("k") or shots), support_EMD.shape[1])
        sharpness = float(head.numbers.get("temperature") or SHARPNESS)
        normalize = nn.functional.normalize
        near, which = (normalize(queries_EnD, dim=2) @ normalize(support_EMD, dim=2).mT).topk(k, dim=2)
        shares = torch.softmax(near / sharpness, dim=2)
        return torch.zeros(*queries_EnD.shape[:2], ways).scatter_add_(2, which // shots, shares)


KIND = KnnKind()
