"""Faults of a plan: each field that the training loop could not execute is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.hooks import (
    Augmentation,
    Head,
    OptimizerSpec,
    Phase,
    ScheduleSpec,
    Term,
    TrainPlan,
)
from advisor.testing import contexts, plans


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "phases need steps"),
        ({"batch": 0}, "batch is 0"),
        ({"phases": (Phase(start=3, head_rate=1.0),)}, "the first phase begins at step 3"),
        ({"phases": (Phase(head_rate=1.0), Phase(head_rate=1.0))}, "two phases begin at the same step"),
        ({"phases": (Phase(rates={"layer9": 1.0}),)}, 'names stage "layer9"'),
        ({"phases": (Phase(rates={"stem": -1.0}),)}, "the rate of stem is -1.0"),
        ({"phases": (Phase(head_rate=float("nan")),)}, "the rate of the head is nan"),
        ({"phases": (Phase(rates={"stem": 0.0}),)}, "trains nothing"),
        ({"phases": (Phase(head_rate=1.0, only="weights"),)}, "only is 'weights'"),
        ({"head": Head(kind="mlp")}, "head.kind is 'mlp'"),
        ({"head": Head(kind="ridge")}, "only a linear head is trained"),
        ({"head": Head(layers="layer9")}, "head.layers is 'layer9'"),
        ({"norm": "batch"}, "norm is 'batch'"),
        ({"optimizer": OptimizerSpec(name="lion")}, "optimizer.name is 'lion'"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"optimizer": OptimizerSpec(momentum=1.0)}, "optimizer.momentum is 1.0, expected a number from 0 to below 1"),
        ({"schedule": ScheduleSpec(warmup=100)}, "schedule.warmup is 100, expected a number from 0 to 1"),
        ({"augmentation": Augmentation(mixup=-0.2)}, "augmentation.mixup is -0.2, expected a number 0 or more"),
        ({"phases": (Phase(head_rate=1.0, warmup=0.1),)}, "warmup is 0.1, expected a number of steps"),
        ({"terms": (Term(function="no colon"),)}, 'expected "module:function"'),
        ({"finish": Term(function="a:b", numbers={"alpha": "x"})}, "a:b[alpha] is 'x'"),
    ],
)
def test_faults_of_a_plan_are_named(changes, message: str) -> None:
    """Each field that the loop could not execute is named with what it holds."""
    context = contexts.context()
    good = TrainPlan(phases=(Phase(rates={"layer4": 0.1}, head_rate=0.1),), steps=5)
    assert plans.faults(good, context) == []
    assert any(message in fault for fault in plans.faults(replace(good, **changes), context))
