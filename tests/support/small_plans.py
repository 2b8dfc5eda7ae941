"""Short plans for the small network, and the loops that run them on digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from small_network import COMPUTE, classifier, digits, weights

from advisor import schedules
from advisor.hooks import Phase, TrainPlan
from advisor.training import loop as training

ALL = {"stem": 1e-3, "middle": 2e-3, "top": 4e-3}
FULL = TrainPlan(phases=(Phase(rates=ALL, head_rate=5e-3),), steps=6, batch=16)
TOP = replace(FULL, phases=(Phase(rates={"top": 4e-3}, head_rate=5e-3),))
GRADUAL = replace(FULL, phases=schedules.gradual(ALL, 5e-3, first=2, every=2, warmup=1), steps=8)


def loop(plan: TrainPlan, *, seed: int = 0, start: int = 0, norm: bool = True, **more: Any) -> training.Loop:
    """Return a loop over the small network and sixty digits."""
    return training.Loop(classifier(start, norm), plan, digits(), size_px=12, seed=seed, compute=COMPUTE, **more)


def trained(plan: TrainPlan, until: int | None = None, **more: Any) -> dict[str, torch.Tensor]:
    """Return the weights after a plan, or after its first steps."""
    one = loop(plan, **more)
    for _ in one.run(until):
        pass
    return weights(one.classifier)
