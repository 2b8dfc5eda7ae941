"""Which models are efficient: the Pareto front of loss, milliseconds and megabytes."""

from __future__ import annotations

import numpy as np

from advisor.records.limits import CostedModel, GraphCost
from advisor.selection import deployment


def model(trial: int, loss: float, ms: float | None, mb: float | None) -> CostedModel:
    """Describe a model by what counts."""
    return CostedModel(
        trial=trial, backbone="a", size_px=64, strategy="ridge", accuracy=1 - loss, loss=loss, cost=GraphCost(ms=ms, mb=mb)
    )  # fmt: skip


def test_the_front_is_that_of_a_plain_search() -> None:
    """Of 40 random models those are efficient that no other one beats in one value and equals or beats in all."""
    draw = np.random.default_rng(0).integers(1, 8, (40, 3)).astype(float)
    marked = deployment.mark_efficient([model(n, *map(float, row)) for n, row in enumerate(draw)])
    expected = {
        n for n, row in enumerate(draw) if not any((other <= row).all() and (other < row).any() for other in draw)
    }
    assert {m.trial for m in marked if m.efficient} == expected
    assert [m.cost.ms for m in marked] == sorted(m.cost.ms or 0.0 for m in marked)


def test_an_unknown_cost_counts_as_the_highest() -> None:
    """A model of unknown cost is efficient only where its score is the best."""
    marked = deployment.mark_efficient([model(0, 0.2, None, None), model(1, 0.2, 5.0, 5.0), model(2, 0.1, None, None)])
    assert {m.trial: m.efficient for m in marked} == {0: False, 1: True, 2: True}
