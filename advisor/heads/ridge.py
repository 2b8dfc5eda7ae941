"""Ridge regression onto class indicators: a grid of strengths scored by exact leave-one-out, from one factorization.

Legend: N items, D features, R rank, K classes, S strengths. Leave-one-out residual of item i is its residual divided by
1 - h_i, h_i its leverage (intercept included): exact for the given standardisation. Outputs of a regression are no
log-odds, so one temperature, fitted on the leave-one-out outputs, turns them into calibrated logits.
Source: Allen 1974 (PRESS); Hastie et al., The Elements of Statistical Learning, section 7.10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from advisor.aliases import Float32s, Folds
from advisor.heads import episodic, standardise
from advisor.heads.kind import TrainingRows
from advisor.heads.linear_head import LinearHead
from advisor.metrics import classification
from advisor.records import Head

FEW_SHOT_STRENGTH = 0.1  # share of the variance: leave-one-out cannot choose where a class has a single image
GRID: tuple[float, ...] = tuple(float(s) for s in np.geomspace(1.0, 1e-6, 13))


@dataclass(frozen=True)
class RidgePath:
    """One score a strength; strengths are shares of the features' total variance, `best` an index into them.

    `loo_logits` (N, K) are the calibrated leave-one-out logits at the best strength; `weight` (K, D) and `bias` (K,)
    the head fitted on all items, for raw features, with the same temperature in it.
    """

    strengths: tuple[float, ...]
    accuracy: tuple[float, ...]
    log_loss: tuple[float, ...]
    temperatures: tuple[float, ...]
    best: int
    loo_logits: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def regularisation_path(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    classes: int,
    strengths: Sequence[float] = GRID,
    *,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    factored: standardise.Spectrum | None = None,
) -> RidgePath:
    """Score every strength by exact leave-one-out and fit the one with the lowest calibrated log-loss.

    `factored` is `standardise.factor` of the same features with the same weights, where it exists already.
    """
    weights = standardise.item_weights(labels, classes, class_weights)
    spec = factored or standardise.factor(features, weights_N=weights, blocks=blocks)
    ordered = sorted((float(s) for s in strengths), reverse=True)
    problem = _ProjectedLabels.of(spec, labels, classes)
    scores: list[_StrengthScore] = []
    for s in ordered:
        start = scores[-1].temperature if scores else 1.0
        scores.append(_score(problem, s, labels, weights, start))
    best = int(np.argmin([s.log_loss for s in scores]))  # the strongest of equals
    scale = 1.0 / scores[best].temperature
    weight, bias = spec.unrotate(problem.coefficients(ordered[best]) * scale, problem.centre * scale)
    return RidgePath(
        strengths=tuple(ordered),
        accuracy=tuple(s.accuracy for s in scores),
        log_loss=tuple(s.log_loss for s in scores),
        temperatures=tuple(s.temperature for s in scores),
        best=best,
        loo_logits=(problem.leave_one_out(ordered[best]) * scale).float().numpy(),
        weight=weight.numpy(),
        bias=bias.numpy(),
    )


def held_out(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    classes: int,
    folds: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]],
    strength: float,
    *,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    factored: standardise.Spectrum | None = None,
) -> NDArray[np.float32]:
    """Return what each validation row is predicted as by the fit on its fold's training rows, (N, K), nan elsewhere.

    Exact for the standardisation of all features, from one factorization: a fold's normal equations are those of all
    rows minus those of the rows that are not in its training part. Not calibrated: divide by a temperature.
    """
    weights = standardise.item_weights(labels, classes, class_weights)
    spec = factored or standardise.factor(features, weights_N=weights, blocks=blocks)
    root_N = spec.weights.sqrt()
    rows_NA = torch.cat([spec.scores, root_N[:, None]], dim=1)  # the last column is the free intercept
    labels_N = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    outputs = np.full((len(labels), classes), np.nan, dtype=np.float32)
    for train, val in folds:
        out = np.setdiff1d(np.arange(len(labels)), train)
        solution = _without(spec, rows_NA, labels_N, classes, torch.from_numpy(out), strength)
        at = torch.from_numpy(np.asarray(val, dtype=np.int64))
        outputs[val] = ((rows_NA[at] @ solution) / root_N[at, None]).numpy()
    return outputs


def _without(
    spec: standardise.Spectrum,
    rows_NA: torch.Tensor,
    labels_N: torch.Tensor,
    classes: int,
    out: torch.Tensor,
    strength: float,
) -> torch.Tensor:
    """Solve the normal equations of all rows but `out`, (R + 1, K)."""
    root_N = spec.weights.sqrt()
    mass = spec.weights.sum()
    removed_nA = rows_NA[out]
    moments_KA = torch.zeros(classes, rows_NA.shape[1], dtype=rows_NA.dtype)
    moments_KA.index_add_(0, labels_N, rows_NA * root_N[:, None])
    moments_KA.index_add_(0, labels_N[out], -removed_nA * root_N[out, None])
    remaining = 1 - float(spec.weights[out].sum() / mass)
    diagonal = torch.cat([spec.values + max(strength * spec.total * remaining, 1e-12), mass[None]])
    normal_AA = torch.diag(diagonal).double() - (removed_nA.T @ removed_nA).double()
    factor = torch.linalg.cholesky(normal_AA)
    return torch.cholesky_solve(moments_KA.T.double(), factor).to(rows_NA.dtype)


@dataclass(frozen=True)
class _StrengthScore:
    accuracy: float
    log_loss: float
    temperature: float


@dataclass(frozen=True)
class _ProjectedLabels:
    """Indicators projected onto the spectrum: all that a strength needs."""

    spec: standardise.Spectrum
    labels: torch.Tensor
    projected: torch.Tensor
    centre: torch.Tensor  # (K,) weighted share of each class: the prediction at the features' mean

    @staticmethod
    def of(spec: standardise.Spectrum, labels: NDArray[np.integer], classes: int) -> _ProjectedLabels:
        labels_N = torch.from_numpy(np.asarray(labels, dtype=np.int64))
        zeros = torch.zeros(classes, spec.scores.shape[1], dtype=spec.scores.dtype)
        weighted = spec.scores * spec.weights.sqrt()[:, None]
        projected = zeros.index_add_(0, labels_N, weighted).T
        share = torch.zeros(classes, dtype=spec.weights.dtype).index_add_(0, labels_N, spec.weights)
        return _ProjectedLabels(spec, labels_N, projected, share / spec.weights.sum())

    def _divisor(self, strength: float) -> torch.Tensor:
        return self.spec.values + max(strength * self.spec.total, 1e-12)

    def coefficients(self, strength: float) -> torch.Tensor:
        return self.projected / self._divisor(strength)[:, None]

    def leave_one_out(self, strength: float) -> torch.Tensor:
        """Return what each item would be predicted as by the fit without it, (N, K)."""
        spec = self.spec
        fitted = (spec.scores @ self.coefficients(strength)).div_(spec.weights.sqrt()[:, None]).add_(self.centre)
        leverage = spec.scores.square() @ self._divisor(strength).reciprocal()
        leverage += spec.weights / spec.weights.sum()
        held_out = (1 - leverage).clamp_min(1e-6)[:, None]
        # own - (own - fitted) / held_out, in place: own is 1 in one column a row and 0 elsewhere.
        return fitted.div_(held_out).scatter_add_(1, self.labels[:, None], 1 - 1 / held_out)


def _score(
    problem: _ProjectedLabels, strength: float, labels: NDArray[np.integer], weights: NDArray[np.float64], start: float
) -> _StrengthScore:
    outputs = problem.leave_one_out(strength).numpy()
    temperature = classification.fit_temperature(outputs, labels, weights=weights, start=start)
    loss = classification.log_loss(outputs, labels, temperature=temperature, weights=weights)
    right = outputs.argmax(axis=1) == labels
    return _StrengthScore(float(np.average(right, weights=weights)), loss, temperature)


def _strengths(head: Head) -> Sequence[float]:
    stated = head.numbers.get("strength")
    return (stated,) if stated else GRID


@dataclass(frozen=True)
class RidgeKind:
    """Ridge regression; `strength` in `Head.numbers`, or chosen by exact leave-one-out."""

    name: str = "ridge"
    module: type[LinearHead] = LinearHead

    def fit(self, head: Head, rows: TrainingRows) -> LinearHead:
        """Fit all rows with the stated strength, or with the one of the lowest leave-one-out log-loss."""
        fitted = regularisation_path(
            rows.features,
            rows.labels,
            rows.classes,
            _strengths(head),
            class_weights=rows.class_weights,
            blocks=rows.blocks,
        )
        return LinearHead(torch.from_numpy(fitted.weight), torch.from_numpy(fitted.bias))

    def oof(self, head: Head, rows: TrainingRows, folds: Folds, watch: Callable[[], None] | None) -> Float32s:
        """Return the logits at one strength and temperature, chosen by leave-one-out on all rows."""
        features, labels, classes, weighting = rows.features, rows.labels, rows.classes, rows.class_weights
        weights = standardise.item_weights(labels, classes, weighting)
        spec = standardise.factor(features, weights_N=weights, blocks=rows.blocks)
        chosen = regularisation_path(
            features, labels, classes, _strengths(head), class_weights=weighting, factored=spec
        )
        strength, temperature = chosen.strengths[chosen.best], chosen.temperatures[chosen.best]
        outputs = held_out(features, labels, classes, folds, strength, class_weights=weighting, factored=spec)
        return np.asarray(outputs / temperature, dtype=np.float32)

    def episodes(self, head: Head, support_EMD: torch.Tensor, queries_EnD: torch.Tensor, ways: int) -> torch.Tensor:
        """Solve every episode in the principal axes of its support."""
        axes = episodic.principal_axes(support_EMD, queries_EnD)
        strength = float(head.numbers.get("strength") or FEW_SHOT_STRENGTH) * axes.variance_EM.sum(1)[:, None]
        curvature_ER = (axes.scores_EMR.square().sum(1) + strength).clamp_min(1e-30)  # 0 for features that never vary
        weight = axes.scores_EMR.mT @ (axes.classes(ways) - 1 / ways) / curvature_ER[:, :, None]
        return torch.as_tensor((axes.queries_EnR @ weight).float())


KIND = RidgeKind()
