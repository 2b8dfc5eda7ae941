"""Heads of many few-shot episodes as one computation: the formulas of `heads`, batched over episodes.

Legend: E episodes, W ways, S shots, M = W x S support items, n queries, D features, R rank (at most M). Each episode is
standardised by its own support alone. Support items of one episode stand class by class, as `episodes` draws them.
Does NOT cover: calibration (only the order of logits counts here), drawing (`episodes`).
Sources: as in `prototypes`, `ridge`, `logistic`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from advisor.errors import InputError
from advisor.heads import lbfgs, standardise
from advisor.records import Head

STRENGTH = 0.1  # ridge, share of the variance: leave-one-out says nothing where a class has one image
C = 0.01  # logistic, for the same reason
_STEPS = 60
_TOLERANCE = 1e-7


def logits(head: Head, support_EMD: Tensor, queries_EnD: Tensor, ways: int, blocks: Sequence[int] = ()) -> Tensor:
    """Fit the head to every episode's support and give its logits of the queries, (E, n, W).

    Raises InputError for a head kind that has no few-shot form.
    """
    x_EMD, q_EnD = standardised(support_EMD, queries_EnD, blocks)
    shots = x_EMD.shape[1] // ways
    if head.kind == "prototypes":
        means = x_EMD.reshape(len(x_EMD), ways, shots, -1).mean(2)
        return torch.as_tensor(q_EnD @ means.mT - 0.5 * means.square().sum(2)[:, None])
    if head.kind == "cosine_prototypes":
        unit = torch.nn.functional.normalize(x_EMD, dim=2)
        means = torch.nn.functional.normalize(unit.reshape(len(unit), ways, shots, -1).mean(2), dim=2)
        return torch.as_tensor(torch.nn.functional.normalize(q_EnD, dim=2) @ means.mT)
    if head.kind == "knn":
        return _neighbours(head, x_EMD, q_EnD, ways)
    if head.kind in ("ridge", "logistic"):
        return _linear(head, x_EMD, q_EnD, ways)
    raise InputError(f'a head of kind "{head.kind}" has no few-shot form.')


def standardised(support_EMD: Tensor, queries_EnD: Tensor, blocks: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Centre and scale by the support's own mean and deviations, with the floor of `spectrum.scales`."""
    mean = support_EMD.mean(1, keepdim=True)
    centred = support_EMD - mean
    variance_ED = centred.square().mean(1)
    scale = torch.stack([standardise.scales(row, blocks) for row in variance_ED])[:, None]
    return centred * scale, (queries_EnD - mean) * scale


def _neighbours(head: Head, x_EMD: Tensor, q_EnD: Tensor, ways: int) -> Tensor:
    shots = x_EMD.shape[1] // ways
    k = min(int(head.numbers.get("k") or shots), x_EMD.shape[1])
    sharpness = float(head.numbers.get("temperature") or 0.1)
    cosine_EnM = torch.nn.functional.normalize(q_EnD, dim=2) @ torch.nn.functional.normalize(x_EMD, dim=2).mT
    near, which = cosine_EnM.topk(k, dim=2)
    shares = torch.softmax(near / sharpness, dim=2)
    return torch.zeros(*q_EnD.shape[:2], ways).scatter_add_(2, which // shots, shares)


def _linear(head: Head, x_EMD: Tensor, q_EnD: Tensor, ways: int) -> Tensor:
    """Ridge and logistic regression live in the span of the support: M x M kernels instead of D x D ones."""
    kernel = (x_EMD @ x_EMD.mT).double()
    values_EM, vectors_EMM = torch.linalg.eigh(kernel)
    most = values_EM[:, -1:]
    nonzero = values_EM > most * 1e-6
    root = torch.where(nonzero, values_EM, 1.0).rsqrt() * nonzero
    scores_EMR = vectors_EMM * (values_EM.clamp_min(0).sqrt() * nonzero)[:, None]  # support in principal axes
    cross_EnR = (q_EnD @ x_EMD.mT).double() @ (vectors_EMM * root[:, None])  # queries in the same axes
    shots = x_EMD.shape[1] // ways
    is_class_MW = torch.eye(ways, dtype=torch.float64).repeat_interleave(shots, 0)
    if head.kind == "ridge":
        strength = float(head.numbers.get("strength") or STRENGTH) * values_EM.clamp_min(0).sum(1)[:, None]
        curvature_ER = (scores_EMR.square().sum(1) + strength).clamp_min(1e-30)  # features that never vary have none
        weight = scores_EMR.mT @ (is_class_MW - 1 / ways) / curvature_ER[:, :, None]
        return torch.as_tensor((cross_EnR @ weight).float())
    weight, bias = _logistic(scores_EMR, is_class_MW, float(head.numbers.get("c") or C))
    return torch.as_tensor((cross_EnR @ weight + bias[:, None]).float())


def _logistic(scores_EMR: Tensor, is_class_MW: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Minimise C x losses + |W|^2 / 2 for every episode; give (weight (E, R, W), bias (E, W))."""
    episodes, items, rank = scores_EMR.shape
    # Axes are scaled by a bound on the curvature (Boehning 1992), so that few steps are enough.
    curvature_ER = 0.5 * scores_EMR.square().sum(1) + 1 / c
    scale_ER = curvature_ER.rsqrt()
    scaled_EMR = scores_EMR * scale_ER[:, None]
    bias_scale = (0.5 * items) ** -0.5

    def loss(point: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = point[:-1].permute(1, 0, 2), point[-1]
        z_EMW = scaled_EMR @ weight + bias_scale * bias[:, None]
        log_p = z_EMW.log_softmax(2)
        wrong = log_p.exp() - is_class_MW
        penalty = (scale_ER.square() / c)[:, :, None] * weight
        value = -(log_p * is_class_MW).sum((1, 2)) + 0.5 * (penalty * weight).sum((1, 2))
        slope = scaled_EMR.mT @ wrong + penalty
        return value, torch.cat([slope.permute(1, 0, 2), bias_scale * wrong.sum(1)[None]])

    ways = is_class_MW.shape[1]
    start = torch.zeros(rank + 1, episodes, ways, dtype=torch.float64)
    point = lbfgs.minimise(loss, start, tolerance=_TOLERANCE, steps=_STEPS)
    return point[:-1].permute(1, 0, 2) * scale_ER[:, :, None], bias_scale * point[-1]
