"""Shared by the few-shot forms of heads: standardise and rotate features by the support of each episode.

Legend: E episodes, W ways, S shots, M = W x S support items, n queries, D features, R rank (at most M). Support items of
one episode stand class by class, as `training.episodes` draws them.
Does NOT cover: the heads (`HeadKind.episodes`), calibration (only the order of logits counts here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from advisor.heads import standardise


def standardised(support_EMD: Tensor, queries_EnD: Tensor, blocks: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Centre and scale by the support's own mean and deviations, with the floor of `standardise.scales`."""
    mean = support_EMD.mean(1, keepdim=True)
    centred = support_EMD - mean
    variance_ED = centred.square().mean(1)
    scale = torch.stack([standardise.scales(row, blocks) for row in variance_ED])[:, None]
    return centred * scale, (queries_EnD - mean) * scale


@dataclass(frozen=True)
class PrincipalAxes:
    """Support and queries in the principal axes of the support, where linear heads have R instead of D coefficients.

    `variance_EM` are the eigenvalues of the support's kernel, not negative.
    """

    scores_EMR: Tensor
    queries_EnR: Tensor
    variance_EM: Tensor

    def classes(self, ways: int) -> Tensor:
        """Return the indicators (M, W) of the support's classes."""
        shots = self.scores_EMR.shape[1] // ways
        return torch.eye(ways, dtype=torch.float64).repeat_interleave(shots, 0)


def principal_axes(support_EMD: Tensor, queries_EnD: Tensor) -> PrincipalAxes:
    """Rotate by the eigenvectors of the M x M kernel; axes without variance become zero."""
    kernel = (support_EMD @ support_EMD.mT).double()
    values_EM, vectors_EMM = torch.linalg.eigh(kernel)
    nonzero = values_EM > values_EM[:, -1:] * 1e-6
    root = torch.where(nonzero, values_EM, 1.0).rsqrt() * nonzero
    scores_EMR = vectors_EMM * (values_EM.clamp_min(0).sqrt() * nonzero)[:, None]
    queries_EnR = (queries_EnD @ support_EMD.mT).double() @ (vectors_EMM * root[:, None])
    return PrincipalAxes(scores_EMR, queries_EnR, values_EM.clamp_min(0))
