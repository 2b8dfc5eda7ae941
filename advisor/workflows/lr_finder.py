"""The learning-rate range test at work: a candidate on a data set -> losses at rising rates and a suggestion.

The network is built for the test and thrown away: nothing that is trained afterwards sees another weight, mode, order or
random number than it would have seen without it. Does NOT cover: how the losses are read (`rate_range`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advisor.errors import InputError, TrialError
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.records import Candidate
from advisor.workflows import lr_range
from advisor.workflows.session import Report, silent


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A range test that was run: one loss a rate, until training broke down; `parameter` is what the rate is called."""

    candidate: Candidate
    parameter: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: lr_range.Suggestion


def sweep(
    resources: Resources,
    candidate: Candidate,
    *,
    low: float,
    high: float,
    steps: int,
    seed: int = 0,
    report: Report = silent,
) -> Sweep:
    """Train a fresh network for `steps` steps whose rate rises from `low` to `high`, on the whole pool.

    Ends early where training breaks down. Raises InputError where the strategy trains nothing, or breaks down at once.
    """
    tried = lr_range.rates(low, high, steps)
    rows = np.arange(len(resources.labels))
    plan = lr_range.rising(resources.plan(candidate, rows), tried)
    classifier = trainer.classifier_for(resources, candidate, plan, rows, seed)
    loop = trainer.train_loop(resources, candidate, plan, classifier, rows, seed)
    losses: list[float] = []
    diverged = False
    try:
        for step in loop.run():
            losses.append(step.loss)
            report("rates", step.step, step.steps)
            if lr_range.broke_down(losses):
                diverged = True
                break
    except TrialError as error:
        if "loss is" not in str(error):
            raise
        diverged = True  # not finite any more: the loss of that step says nothing and is left out
    if not losses:
        raise InputError("the first step already broke down:", hint="give a smaller --low.")
    return Sweep(
        candidate=candidate,
        parameter=_parameter(candidate),
        rates=tuple(tried[: len(losses)]),
        losses=tuple(losses),
        smoothed=tuple(lr_range.smoothed(losses)),
        suggestion=lr_range.suggest(tried, losses, diverged=diverged),
    )


def _parameter(candidate: Candidate) -> str:
    return next((name for name in ("sgd_rate", "adam_rate") if name in candidate.parameters), "")
