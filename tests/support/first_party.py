"""The first-party strategies by name, and what each plans and trains on the small network."""

from __future__ import annotations

from typing import Any

from small_network import COMPUTE, classifier, context, digits

from advisor.hooks import Context, Strategy, TrainPlan
from advisor.training import loop as training
from advisor_strategies import advisor_strategies

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in advisor_strategies()}
HERE = context()


def guess(name: str, **changes: Any) -> TrainPlan:
    """Return the plan of a strategy's first guess, with some parameters replaced."""
    strategy = STRATEGIES[name]
    return strategy.plan({**strategy.first_guesses(HERE)[0], **changes}, HERE)


def run(strategy: Strategy, here: Context = HERE, **changes: Any) -> training.Loop:
    """Return a loop of two epochs on digits by a strategy's first guess."""
    first = strategy.first_guesses(here)[0]
    batch = {"batch": here.batch} if "batch" in first else {}  # an episode is a batch of its own
    parameters = {**first, "epochs": 2.0, **batch, **changes}
    plan = strategy.plan(parameters, here)
    return training.Loop(classifier(), plan, digits(target=True), size_px=12, seed=0, compute=COMPUTE)
