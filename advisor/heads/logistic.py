"""Multinomial logistic regression with an L2 penalty: many problems on the same features as one computation.

Legend: N items, D features, R rank, K classes, P problems (folds; each is a row of item weights). All share one
`spectrum.factor`, whose axes are scaled by a bound on the curvature, so that L-BFGS needs few steps; one product of
matrices serves all of them. `c` is scikit-learn's C on standardised features: C * sum of losses + |W|^2 / 2, intercepts
free. Source: Boehning 1992 (curvature bound); Nocedal and Wright, Numerical Optimization, algorithm 7.4 (L-BFGS).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from advisor.heads import lbfgs, standardise
from advisor.metrics import classification

if TYPE_CHECKING:
    from torch import Tensor

    Folds = Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]]

GRID: tuple[float, ...] = tuple(float(c) for c in np.geomspace(1e-5, 1e2, 15))
_PATH_TOLERANCE = 1e-5  # nats an item: far below what can decide between two strengths
_FIT_TOLERANCE = 1e-9
_WORTH = 0.01  # share of what was gained over the largest penalty that a smaller one must add to be worth it
_EXACT_WORK = 1e7  # entries of features times outputs, above which float32 is used
_FLOAT32_TOLERANCE = 1e-6  # what is left to gain drowns in rounding below this
_BATCH_ENTRIES = 6e7  # logits held together: bounds memory at about a gigabyte


@dataclass(frozen=True)
class LogisticPath:
    """Out-of-fold scores of every c that was tried, in rising order; `best` indexes the smallest c that brings 99 %
    of the log-loss that the best one gains over the smallest.

    `oof_logits` (N, K) are those of the best; rows in no validation fold are nan and in no score.
    """

    cs: tuple[float, ...]
    accuracy: tuple[float, ...]
    log_loss: tuple[float, ...]
    best: int
    oof_logits: NDArray[np.float32]


def path(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    classes: int,
    folds: Folds,
    cs: Sequence[float] = GRID,
    *,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    factored: standardise.Spectrum | None = None,
    watch: Callable[[], None] | None = None,
) -> LogisticPath:
    """Fit every fold at rising c, each started from the last, and score the images that were left out.

    Every second c is tried until a larger one adds less than a hundredth, then the neighbours of the best. `watch` is
    called at every evaluation, and may raise to end it.
    Standardisation is that of all features (no label is in it). Raises ValueError where there is no fold.
    """
    if not folds:
        raise ValueError("logistic.path needs at least one fold: some class needs two images")
    spec = factored or standardise.factor(features, blocks=blocks)
    weights = standardise.item_weights(labels, classes, class_weights)
    weights_PN = np.zeros((len(folds), len(labels)))
    for row, (train, _) in enumerate(folds):
        weights_PN[row, train] = standardise.item_weights(labels[train], classes, class_weights)
    held = np.sort(np.concatenate([val for _, val in folds]))
    grid = sorted(float(c) for c in cs)
    tried: dict[int, _Tried] = {}

    def visit(at: int) -> None:
        nearest = max((i for i in tried if i < at), default=None)
        start = None if nearest is None else tried[nearest].solution
        solution = solve(
            spec, labels, classes, weights_PN, grid[at], start=start, tolerance=_PATH_TOLERANCE, watch=watch
        )
        tried[at] = _score(solution, _held_out(spec, solution, folds, classes), labels, weights, held)

    for at in range(0, len(grid), 2):
        visit(at)
        before = tried[at - 2].log_loss if at >= 4 else np.inf
        if tried[at].log_loss > before - _WORTH * (tried[0].log_loss - before):
            break
    best = _mildest(tried)
    for at in (best - 1, best + 1):
        if 0 <= at < len(grid) and at not in tried:
            visit(at)
    order = sorted(tried)
    best = _mildest(tried)
    return LogisticPath(
        cs=tuple(grid[i] for i in order),
        accuracy=tuple(tried[i].accuracy for i in order),
        log_loss=tuple(tried[i].log_loss for i in order),
        best=order.index(best),
        oof_logits=tried[best].logits,
    )


def _mildest(tried: Mapping[int, _Tried]) -> int:
    """Choose the smallest c that brings nearly all of what the best one brings over the smallest of all."""
    lowest = min(t.log_loss for t in tried.values())
    enough = lowest + _WORTH * max(0.0, tried[0].log_loss - lowest)
    return min(i for i, t in tried.items() if t.log_loss <= enough)


@dataclass(frozen=True)
class _Tried:
    solution: Tensor
    logits: NDArray[np.float32]
    accuracy: float
    log_loss: float


def _score(
    solution: Tensor,
    logits: NDArray[np.float32],
    labels: NDArray[np.integer],
    weights: NDArray[np.float64],
    held: NDArray[np.integer],
) -> _Tried:
    right = logits[held].argmax(1) == labels[held]
    loss = classification.log_loss(logits[held], labels[held], weights=weights[held])
    return _Tried(solution, logits, float(np.average(right, weights=weights[held])), loss)


def fit(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    classes: int,
    c: float,
    *,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    factored: standardise.Spectrum | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit one head on all items; give (weight (K, D), bias (K,)) for raw features."""
    spec = factored or standardise.factor(features, blocks=blocks)
    weights = standardise.item_weights(labels, classes, class_weights)[None]
    solution_RPK = solve(spec, labels, classes, weights, c, tolerance=_FIT_TOLERANCE)
    weight, bias = spec.unrotate(solution_RPK[:-1, 0], solution_RPK[-1, 0])
    return weight.numpy(), bias.numpy()


def solve(
    spec: standardise.Spectrum,
    labels: NDArray[np.integer],
    classes: int,
    weights_PN: NDArray[np.float64],
    c: float,
    *,
    start: Tensor | None = None,
    tolerance: float = _FIT_TOLERANCE,
    steps: int = 200,
    watch: Callable[[], None] | None = None,
) -> Tensor:
    """Solve P problems that differ in their items' weights; give (R + 1, P, K), the last row the intercepts.

    Stops where the decrease that is left is about `tolerance` nats an item. Problems that would not fit in memory
    together are solved one after another, with the same result.
    """
    together = max(1, int(_BATCH_ENTRIES / max(1, len(labels) * classes)))
    parts = [slice(p, p + together) for p in range(0, len(weights_PN), together)]
    solved = [
        _solve_batch(
            spec, labels, classes, weights_PN[p], c, None if start is None else start[:, p], tolerance, steps, watch
        )
        for p in parts
    ]
    return torch.cat(solved, dim=1)


def _solve_batch(
    spec: standardise.Spectrum,
    labels: NDArray[np.integer],
    classes: int,
    weights_PN: NDArray[np.float64],
    c: float,
    start: Tensor | None,
    tolerance: float,
    steps: int,
    watch: Callable[[], None] | None,
) -> Tensor:
    exact = spec.scores.numel() * classes * len(weights_PN) <= _EXACT_WORK
    batch = _Batch.of(spec, labels, classes, weights_PN, c, torch.float64 if exact else torch.float32)
    if start is None:
        first = torch.zeros(len(batch.axis), len(weights_PN), classes, dtype=batch.axis.dtype)
    else:
        first = start.to(batch.axis.dtype) / batch.axis
    reachable = tolerance if exact else max(tolerance, _FLOAT32_TOLERANCE)

    def loss(point: Tensor) -> tuple[Tensor, Tensor]:
        if watch is not None:
            watch()
        return batch.loss(point)

    best = lbfgs.minimise(loss, first, tolerance=reachable, steps=steps)
    return (batch.axis * best).to(spec.scores.dtype)


@dataclass(frozen=True)
class _Batch:
    """P problems as one function of the scaled coefficients v = w / axis.

    rows (N, R + 1), the last column 1 for the intercept; weights (N, P) with sum 1 a problem; decay (R + 1, P);
    axis (R + 1, P, 1); target (N, P, 1), each item's class.
    """

    rows: Tensor
    weights: Tensor
    decay: Tensor
    axis: Tensor
    target: Tensor
    classes: int

    @staticmethod
    def of(
        spec: standardise.Spectrum,
        labels: NDArray[np.integer],
        classes: int,
        weights_PN: NDArray[np.float64],
        c: float,
        dtype: torch.dtype,
    ) -> _Batch:
        n, problems = len(labels), len(weights_PN)
        rows = torch.cat([spec.scores, torch.ones(n, 1, dtype=spec.scores.dtype)], dim=1).to(dtype)
        weights = torch.from_numpy(weights_PN.T.copy()).to(dtype)
        mass = weights.sum(0)
        curvature = torch.cat([spec.values.to(dtype), torch.full((1,), float(n), dtype=dtype)]) / n
        decay = (1.0 / (c * mass)).expand(len(curvature), -1).clone()
        decay[-1] = 0.0
        # Softmax curves at most half as much as a square; a quarter fits the typical direction. Intercepts are free.
        axis = (0.25 * curvature[:, None] + decay).rsqrt()[:, :, None]
        target = torch.from_numpy(np.asarray(labels, dtype=np.int64))[:, None, None].expand(-1, problems, 1)
        return _Batch(rows, weights / mass, decay, axis, target, classes)

    def loss(self, v_RPK: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted mean log-loss plus penalty of each problem, (P,), and its gradient by v."""
        w_RPK = self.axis * v_RPK
        # Both products in the orientation whose long side is the inner loop's: with ten columns MKL takes two to nine times
        # as long for the other one.
        logits_NM = (w_RPK.flatten(1).T @ self.rows.T).T.contiguous()
        logp_NPK = logits_NM.view(*self.weights.shape, self.classes).log_softmax(-1)
        own_NP = logp_NPK.gather(2, self.target)[:, :, 0]
        decayed_RPK = self.decay[:, :, None] * w_RPK
        value_P = -(self.weights * own_NP).sum(0) + 0.5 * (decayed_RPK * w_RPK).sum((0, 2))
        residual_NPK = logp_NPK.exp_()
        residual_NPK.scatter_add_(2, self.target, -torch.ones_like(own_NP)[..., None])
        residual_NPK *= self.weights[:, :, None]
        slope_RPK = (residual_NPK.flatten(1).T @ self.rows).T.contiguous().view_as(w_RPK) + decayed_RPK
        return value_P, self.axis * slope_RPK


def _held_out(spec: standardise.Spectrum, solution_RPK: Tensor, folds: Folds, classes: int) -> NDArray[np.float32]:
    logits = np.full((len(spec.scores), classes), np.nan, dtype=np.float32)
    for p, (_, val) in enumerate(folds):
        rows = torch.from_numpy(np.asarray(val, dtype=np.int64))
        logits[val] = (spec.scores[rows] @ solution_RPK[:-1, p] + solution_RPK[-1, p]).numpy()
    return logits
