"""The loss around a path: grids that hold it, weights that come back, losses at the right places."""

from __future__ import annotations

import copy
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_network import classifier

from advisor.reporting.charts import standalone_charts
from advisor.workflows import loss_surface


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=8), st.integers(2, 9))
def test_a_grid_holds_the_path(path: list[tuple[float, float]], points: int) -> None:
    """Every place of the path lies inside the grid, which is never a line."""
    xs, ys = loss_surface.axes(path, points)
    for x, y in path:
        assert xs[0] <= x <= xs[-1]
        assert ys[0] <= y <= ys[-1]
    assert xs[-1] > xs[0]
    assert ys[-1] > ys[0]


def test_a_bowl_is_a_bowl() -> None:
    """On a loss that is the squared length of the weights, the grid has that value at each point; weights come back."""
    module = torch.nn.Linear(3, 2)
    before = loss_surface.flat(module)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 2)))[0].T
    path = [(0.0, 0.0), (1.0, 0.5)]
    start = np.zeros(8)

    def score() -> float:
        return float(np.square(loss_surface.flat(module)).sum())

    grid = loss_surface.evaluate_grid(module, start, directions, path, score, points=5)
    for j, y in enumerate(grid.ys):
        for i, x in enumerate(grid.xs):
            assert grid.losses[j][i] == pytest.approx(x * x + y * y, abs=1e-5)
    assert np.array_equal(loss_surface.flat(module), before)


def test_weights_come_back_after_a_fault() -> None:
    """Where scoring fails, the weights are what they were; a vector of another length is refused."""
    module = torch.nn.Linear(3, 2)
    before = loss_surface.flat(module)
    with pytest.raises(ZeroDivisionError):
        loss_surface.evaluate_grid(module, before * 0, np.eye(2, 8), [(0, 0), (1, 1)], lambda: 1 / 0, points=3)
    assert np.array_equal(loss_surface.flat(module), before)
    with pytest.raises(ValueError, match="do not fit"):
        loss_surface.put(before[:-1], module)


def test_shades_follow_losses() -> None:
    """The highest loss is darkest, one that is not finite as well; the drawing is well-formed."""
    text = standalone_charts.heat(
        [0.0, 1.0], [0.0, 1.0], [[0.1, 1.0], [5.0, float("nan")]], [(0.0, 0.0), (1.0, 1.0)], title="<t>"
    )
    cells = [e for e in ElementTree.fromstring(text).iter() if e.tag.endswith("rect")]
    shades = [float(c.attrib["fill-opacity"]) for c in cells]
    assert shades[0] < shades[1] < shades[2] == shades[3]
    assert standalone_charts.heat([0.0], [0.0], [[float("nan")]], [(0.0, 0.0)], title="t") == ""


def test_a_nudge_has_its_length() -> None:
    """Each filter moves by the given share of its own length; biases and norms stay; the seed alone says where to."""
    body = classifier().body
    moved, again = copy.deepcopy(body), copy.deepcopy(body)
    loss_surface.nudge(moved, 0.1, 7)
    loss_surface.nudge(again, 0.1, 7)
    for (name, before), after, same in zip(
        body.named_parameters(), moved.parameters(), again.parameters(), strict=True
    ):
        assert torch.equal(after, same)
        if before.ndim < 2:
            assert torch.equal(before, after), name
            continue
        share = (after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
        assert torch.allclose(share, torch.full_like(share, 0.1), atol=1e-4)
