"""Many problems of multinomial logistic regression on the same features, solved as one computation.

Legend: N items, D features, R rank, K classes, P problems (folds; each is a row of item weights). All share one
`standardise.factor`, whose axes are scaled by a bound on the curvature, so that L-BFGS needs few steps; one product of
matrices serves all of them. Does NOT cover: which strength is chosen (`logistic`).
Source: Boehning 1992 (curvature bound); Nocedal and Wright, Numerical Optimization, algorithm 7.4 (L-BFGS).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from advisor.aliases import Folds
from advisor.heads import lbfgs, standardise

if TYPE_CHECKING:
    from torch import Tensor

FIT_TOLERANCE = 1e-9  # nats per item
_EXACT_WORK = 1e7  # entries of features times outputs, above which float32 is used
_FLOAT32_TOLERANCE = 1e-6  # smaller gains drown in rounding
_BATCH_ENTRIES = 6e7  # logits held together: bounds memory at about a gigabyte


def solve(
    spec: standardise.Spectrum,
    labels: NDArray[np.integer],
    classes: int,
    weights_PN: NDArray[np.float64],
    c: float,
    *,
    start: Tensor | None = None,
    tolerance: float = FIT_TOLERANCE,
    steps: int = 200,
    watch: Callable[[], None] | None = None,
) -> Tensor:
    """Solve P problems that differ in their items' weights; return (R + 1, P, K), the last row the intercepts.

    Stops where the decrease that is left is about `tolerance` nats per item. Problems that would not fit in memory
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


def held_out(spec: standardise.Spectrum, solution_RPK: Tensor, folds: Folds, classes: int) -> NDArray[np.float32]:
    logits = np.full((len(spec.scores), classes), np.nan, dtype=np.float32)
    for p, (_, val) in enumerate(folds):
        rows = torch.from_numpy(np.asarray(val, dtype=np.int64))
        logits[val] = (spec.scores[rows] @ solution_RPK[:-1, p] + solution_RPK[-1, p]).numpy()
    return logits
