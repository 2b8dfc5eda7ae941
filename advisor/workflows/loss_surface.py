"""The loss around a path of weights: evaluated on a grid in the plane of the path's two main directions.

In: coordinates of the path in the plane, directions, a start, and a function that scores the current weights. Out: a grid
of losses. The weights are restored. Does NOT cover: which images are scored (`comparison_arm`), drawing
(`reporting.charts`).
Source: Li et al. 2018 (1712.09913), section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

MARGIN = 0.25  # of the path's extent, by which the grid exceeds it on every side
NARROW = 0.2  # the shorter side is at least this share of the longer one


@dataclass(frozen=True, kw_only=True)
class Surface:
    """`losses[j][i]` is the loss at (xs[i], ys[j]) of the plane."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]


def axes(path: Sequence[tuple[float, float]], points: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the grid's coordinates in both directions: around the whole path, with a margin, never degenerate."""
    path_N2 = np.asarray(path, dtype=np.float64)
    middle = (path_N2.max(0) + path_N2.min(0)) / 2
    extent = path_N2.max(0) - path_N2.min(0)
    extent = np.maximum(extent, NARROW * max(float(extent.max()), 1e-6)) * (0.5 + MARGIN)
    return (
        np.linspace(middle[0] - extent[0], middle[0] + extent[0], points),
        np.linspace(middle[1] - extent[1], middle[1] + extent[1], points),
    )


def flat(module: nn.Module) -> npt.NDArray[np.float32]:
    """Return all parameters as one vector, in the order of `module.parameters()`."""
    return np.concatenate([p.detach().float().cpu().numpy().ravel() for p in module.parameters()])


def put(values: npt.NDArray[np.floating], module: nn.Module) -> None:
    """Write one vector into all parameters, in place. Raises ValueError if the lengths differ."""
    if len(values) != sum(p.numel() for p in module.parameters()):
        raise ValueError(f"{len(values)} numbers do not fit the module's parameters")
    at = 0
    with torch.no_grad():
        for parameter in module.parameters():
            part = values[at : at + parameter.numel()]
            parameter.copy_(torch.from_numpy(np.asarray(part, dtype=np.float32)).reshape(parameter.shape))
            at += parameter.numel()


def evaluate_grid(
    module: nn.Module,
    start: npt.NDArray[np.floating],
    directions: npt.NDArray[np.floating],
    path: Sequence[tuple[float, float]],
    score: Callable[[], float],
    *,
    points: int,
) -> Surface:
    """Score the module with the weights start + x d1 + y d2 on a grid around the path; buffers do not change."""
    original = flat(module)
    xs, ys = axes(path, points)
    rows = []
    try:
        for y in ys:
            row = []
            for x in xs:
                put(start + x * directions[0] + y * directions[1], module)
                row.append(score())
            rows.append(tuple(row))
    finally:
        put(original, module)
    return Surface(xs=tuple(map(float, xs)), ys=tuple(map(float, ys)), losses=tuple(rows))


def nudge(body: torch.nn.Module, radius: float, seed: int) -> None:
    """Move every filter in place by `radius` times its norm in a random direction; 1-d parameters do not change."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in body.parameters():
            if parameter.ndim < 2:
                continue
            noise = torch.randn(parameter.shape, generator=draw).flatten(1)
            length = parameter.detach().cpu().float().flatten(1).norm(dim=1, keepdim=True)
            moved = radius * length * torch.nn.functional.normalize(noise)
            parameter.add_(moved.reshape(parameter.shape).to(parameter))
