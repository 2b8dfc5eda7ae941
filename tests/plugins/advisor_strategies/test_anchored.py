"""advisor_strategies.anchored: L2-SP and interpolation are their formulas, and hold the network near its start."""

from __future__ import annotations

import torch
from first_party import STRATEGIES, guess, run
from small_network import weights

from advisor.hooks import TermInputs
from advisor_strategies import anchored


def inputs(alpha_from: dict[str, torch.Tensor], now: dict[str, torch.nn.Parameter]) -> TermInputs:
    empty = torch.zeros(1, 2)
    return TermInputs(
        step=0, steps=1, features=empty, logits=empty, labels=torch.zeros(1).long(), parameters=now, start=alpha_from
    )


def test_l2_sp_is_its_formula() -> None:
    """alpha / 2 |w - w0|^2 on the body + beta / 2 |w|^2 on the head, with the gradient that follows."""
    draw = torch.Generator().manual_seed(0)
    start = {n: torch.randn(3, 2, generator=draw) for n in ("body.a", "head.weight")}
    now = {n: torch.nn.Parameter(torch.randn(3, 2, generator=draw)) for n in start}
    value = anchored.l2_sp(inputs(start, now), alpha=0.3, beta=0.05)
    expected = 0.15 * (now["body.a"] - start["body.a"]).square().sum() + 0.025 * now["head.weight"].square().sum()
    torch.testing.assert_close(value, expected)
    value.backward()
    torch.testing.assert_close(now["body.a"].grad, 0.3 * (now["body.a"] - start["body.a"]).detach())
    torch.testing.assert_close(now["head.weight"].grad, 0.05 * now["head.weight"].detach())


def test_interpolation_is_exact_at_its_ends() -> None:
    """alpha 0 is the start and 1 the tuned weights, bit for bit; between them the line."""
    draw = torch.Generator().manual_seed(1)
    start = {n: torch.randn(4, generator=draw) for n in ("a", "b")}
    tuned = {n: torch.randn(4, generator=draw) for n in ("a", "b")}
    for name in start:
        assert torch.equal(anchored.interpolate(start, tuned, alpha=0.0)[name], start[name])
        assert torch.equal(anchored.interpolate(start, tuned, alpha=1.0)[name], tuned[name])
        third = anchored.interpolate(start, tuned, alpha=0.3)[name]
        torch.testing.assert_close(third, 0.7 * start[name] + 0.3 * tuned[name])


def test_l2_sp_stays_nearer_and_wise_leaves_alpha_to_the_core() -> None:
    """The pull shortens the way from the start; WiSE names alpha as the core's choice unless it is given."""
    distance = {}
    for name in ("full", "l2_sp"):
        more = {"alpha": 100.0} if name == "l2_sp" else {}
        loop = run(STRATEGIES[name], epochs=4.0, weight_decay=0.0, **more)
        start = weights(loop.classifier)
        list(loop.run())
        now = loop.classifier.state_dict()
        distance[name] = sum(float((now[n] - start[n]).square().sum()) for n in start if n.startswith("body"))
    assert distance["l2_sp"] < 0.7 * distance["full"]
    finish = guess("wise_ft").finish
    assert finish is not None
    assert finish.fitted == ("alpha",)
    assert guess("wise_ft", alpha_from="given", alpha=0.25).finish.fitted == ()
