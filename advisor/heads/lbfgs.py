"""L-BFGS on many independent smooth convex problems at once, each with its own step length and its own end.

Legend: P problems. Points are (R, P, K) tensors: one problem is everything at one index of the middle axis. One
evaluation of the batch costs one evaluation of all, so problems that have ended stand still until all have.
Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 3.1 (backtracking) and 7.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = 10
_ARMIJO = 1e-4
_HALVINGS = 20


def minimise(loss: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, *, tolerance: float, steps: int) -> Tensor:
    """Minimise all problems from `start` (R, P, K); `loss(point)` gives (values (P,), gradient like the point).

    A problem ends when half of its squared gradient is below `tolerance` (with axes scaled to unit curvature that is
    the decrease still to be had), or when no step decreases its value. At most `steps` iterations.
    """
    point, (value, slope) = start, loss(start)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(steps):
        active = 0.5 * _dot(slope, slope) > tolerance
        if not bool(active.any()):
            break
        direction = -_two_loops(slope, pairs)
        downhill = _dot(direction, slope) < 0
        direction = torch.where(downhill[None, :, None], direction, -slope)
        new_point, new_value, new_slope, moved = _backtrack(loss, point, value, slope, direction, active)
        if not bool(moved.any()):
            break
        pairs = [*pairs[-(MEMORY - 1) :], _pair(new_point - point, new_slope - slope)]
        point, value, slope = new_point, new_value, new_slope
    return point


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((0, 2))


def _pair(moved: Tensor, turned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Remember a step; the third member is 1 / (s'y), and 0 for a problem whose step says nothing about curvature."""
    product = _dot(moved, turned)
    useful = product > 1e-12 * _dot(turned, turned)
    return moved, turned, torch.where(useful, 1.0 / product.clamp_min(torch.finfo(product.dtype).tiny), 0.0)


def _two_loops(slope: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    q = slope.clone()
    shares: list[Tensor] = []
    for moved, turned, inverse in reversed(pairs):
        share = inverse * _dot(moved, q)
        q -= share[None, :, None] * turned
        shares.append(share)
    for (moved, turned, inverse), share in zip(pairs, reversed(shares), strict=True):
        q += (share - inverse * _dot(turned, q))[None, :, None] * moved
    return q


def _backtrack(
    loss: Callable[[Tensor], tuple[Tensor, Tensor]],
    point: Tensor,
    value: Tensor,
    slope: Tensor,
    direction: Tensor,
    active: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Halve each active problem's step until its value has fallen enough; those that never fall stay where they are."""
    length = active.to(point.dtype)
    gain = _ARMIJO * _dot(direction, slope)
    for _ in range(_HALVINGS):
        trial = point + length[None, :, None] * direction
        new_value, new_slope = loss(trial)
        failed = active & ~(new_value <= value + length * gain)
        if not bool(failed.any()):
            return trial, new_value, new_slope, active
        length = torch.where(failed, 0.5 * length, length)
    length = torch.where(failed, 0.0, length)
    trial = point + length[None, :, None] * direction
    new_value, new_slope = loss(trial)
    return trial, new_value, new_slope, active & ~failed
