"""L-BFGS on many problems at once, whose answers are known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.heads import lbfgs


def test_lbfgs_finds_the_minimum_of_each_problem() -> None:
    """Quadratics of very different curvature, solved together, end at their own minima; a solved one stays put."""
    draw = torch.Generator().manual_seed(0)
    centre = torch.randn(6, 3, 2, generator=draw, dtype=torch.float64)
    stiff = torch.tensor([1.0, 30.0, 1e-2], dtype=torch.float64)[None, :, None] * torch.linspace(1, 5, 6)[:, None, None]

    def loss(point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = point - centre
        return 0.5 * (stiff * away**2).sum((0, 2)), stiff * away

    start = torch.zeros_like(centre)
    start[:, 1] = centre[:, 1]
    minimum = lbfgs.minimise(loss, start, tolerance=1e-14, steps=200)
    assert torch.allclose(minimum, centre, atol=1e-5)
    assert torch.equal(minimum[:, 1], centre[:, 1])


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_it_agrees_with_scipy_on_a_curved_valley(seed: int) -> None:
    """Logistic losses that are no quadratics end where scipy's own L-BFGS ends, each problem for itself."""
    from scipy.optimize import minimize

    draw = torch.Generator().manual_seed(seed)
    x_NR = torch.randn(30, 4, generator=draw, dtype=torch.float64)
    sign_NP = torch.randn(30, 2, generator=draw).sign().double()

    def loss(point_RPK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        point = point_RPK.detach().requires_grad_()
        margins_NP = sign_NP * (x_NR @ point[:, :, 0])
        values_P = torch.nn.functional.softplus(-margins_NP).mean(0) + 0.05 * point.square().sum((0, 2))
        (slope,) = torch.autograd.grad(values_P.sum(), point)
        return values_P.detach(), slope

    minimum = lbfgs.minimise(loss, torch.zeros(4, 2, 1, dtype=torch.float64), tolerance=1e-14, steps=200)
    for p in range(2):

        def one(w, p=p):  # type: ignore[no-untyped-def]
            point = torch.zeros(4, 2, 1, dtype=torch.float64)
            point[:, p, 0] = torch.from_numpy(w)
            values, slope = loss(point)
            return float(values[p]), slope[:, p, 0].numpy()

        expected = minimize(one, torch.zeros(4).double().numpy(), jac=True, method="L-BFGS-B", tol=1e-14).x
        assert minimum[:, p, 0].numpy() == pytest.approx(expected, abs=1e-4)


def test_a_step_that_cannot_help_ends_it() -> None:
    """Where no step lowers the value (its slope is wrong) the start comes back, and nothing loops for ever."""
    start = torch.ones(2, 1, 1, dtype=torch.float64)
    minimum = lbfgs.minimise(lambda p: (p.square().sum((0, 2)), -2 * p), start, tolerance=0.0, steps=50)
    assert torch.equal(minimum, start)
