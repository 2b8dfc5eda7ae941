"""The learning-rate range test: a candidate on a data set -> losses at rising learning rates, and a suggestion.

The network is built for the test and thrown away: nothing that is trained afterwards sees another weight, mode, order or
random number than it would have seen without it. Does NOT cover: training one step (`training.loop`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.aliases import NamedProgress
from advisor.errors import DivergedError, InputError
from advisor.execution import trainer
from advisor.records import Candidate
from advisor.records.data import JoinedImages
from advisor.records.plan import Phase, ScheduleSpec, TrainPlan
from advisor.workflows.session import Session, report_nothing

SMOOTHING = 0.9
DIVERGED = 3.0  # the sweep ends when the smoothed loss exceeds its lowest by this times (its first minus its lowest)
SETTLING = 8  # steps until the smoothed loss is more than noise
FALL = 0.03  # share of the first loss by which it must decrease before its lowest point is meaningful


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """`rate` is the suggestion, None where the loss hardly fell; `reason` says why.

    `lowest` and `steepest` are where the smoothed loss is lowest and decreases fastest; `diverged_at` is the rate at which
    training broke down, None where it held to the end.
    """

    rate: float | None
    lowest: float
    steepest: float
    diverged_at: float | None
    reason: str


def rates(low: float, high: float, steps: int) -> list[float]:
    """Space `steps` rates geometrically from `low` to `high`, both included.

    Raises InputError where the bounds are not 0 < low < high, or there are fewer than 10 steps.
    """
    if not 0 < low < high or not math.isfinite(high):
        raise InputError(f"rates from {low:g} to {high:g}: expected 0 < low < high.")
    if steps < 10:
        raise InputError(f"{steps} steps: a range test needs at least 10.")
    ratio = math.log(high / low) / (steps - 1)
    return [low * math.exp(ratio * i) for i in range(steps - 1)] + [high]


def rising(plan: TrainPlan, rates_tried: Sequence[float]) -> TrainPlan:
    """Turn a plan into its range test: one phase a step, all groups scaled alike so that the highest stage has `tried[i]`.

    The groups are those of the plan's last phase with the most stages; where only the head trains, the rate is the
    head's. Averages and last touches are left out, since they do not shape the loss.
    Raises InputError where the plan trains nothing.
    """
    if not plan.phases:
        raise InputError(
            "this strategy fits its head without a learning rate.", hint="Name a strategy that trains the network."
        )
    widest = max(plan.phases, key=lambda phase: (len(phase.rates), phase.start))
    reference = max(widest.rates.values(), default=0.0) or widest.head_rate
    phases = tuple(
        Phase(
            start=i,
            rates={name: rate * tried_i / reference for name, rate in widest.rates.items()},
            head_rate=widest.head_rate * tried_i / reference,
            only=widest.only,
        )
        for i, tried_i in enumerate(rates_tried)
    )
    constant = ScheduleSpec(name="constant", warmup=0.0)
    return replace(plan, phases=phases, steps=len(phases), schedule=constant, ema=0.0, finish=None)


def smoothed(losses: Sequence[float], beta: float = SMOOTHING) -> list[float]:
    """Return the running average of losses with bias correction: constant losses stay constant."""
    average, corrected = 0.0, []
    for i, loss in enumerate(losses):
        average = beta * average + (1 - beta) * loss
        corrected.append(average / (1 - beta ** (i + 1)))
    return corrected


def broke_down(losses: Sequence[float]) -> bool:
    """Return True if the last smoothed loss shows that training has diverged."""
    curve = smoothed(losses)
    lowest = min(curve)
    return len(curve) > 10 and curve[-1] > lowest + max(DIVERGED * (curve[0] - lowest), curve[0])


def suggest(rates_tried: Sequence[float], losses: Sequence[float], *, diverged: bool = False) -> Suggestion:
    """Read a sweep: a tenth of the rate of the lowest smoothed loss, or nothing.

    The lowest loss lies just before training breaks down, so that a tenth of it is safe and still fast (1506.01186
    reads the same from the beginning of the rise). A head that starts from a fitted probe leaves little to gain: where
    the loss falls by less than 3 %, the curve shows no best rate and none is suggested.
    Raises InputError where fewer than 10 steps were done.
    """
    if len(losses) < 10:
        raise InputError(
            f"training broke down after {len(losses)} steps, at a rate of {rates_tried[max(0, len(losses) - 1)]:.1e}:",
            hint="Give a smaller --low.",
        )
    curve = smoothed(losses)
    ending = rates_tried[len(losses) - 1] if diverged else None
    settled = range(SETTLING, len(curve) - 1)  # before, the average is of a few batches, and follows their noise
    steepest = rates_tried[min(settled, key=lambda i: curve[i + 1] - curve[i - 1])]
    at = min(range(SETTLING, len(curve)), key=curve.__getitem__)
    lowest = rates_tried[at]
    first = curve[SETTLING]
    if curve[at] < (1 - FALL) * first:
        reason = f"a tenth of {rates_tried[at]:.1e}, where the smoothed loss is lowest"
        return Suggestion(
            rate=rates_tried[at] / 10, lowest=rates_tried[at], steepest=steepest, diverged_at=ending, reason=reason
        )
    harmless = [rate for rate, loss in zip(rates_tried, curve, strict=False) if loss <= (1 + FALL) * first]
    fall = f"the loss fell by less than {FALL:.0%} in {len(curve)} steps, so the curve shows no best rate"
    most = f"; rates up to {harmless[-1]:.1e} did not raise it" if harmless else ""
    return Suggestion(rate=None, lowest=lowest, steepest=steepest, diverged_at=ending, reason=fall + most)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A range test: one loss per rate, until training diverged; `parameter` is the name of the rate.

    `joined` are the similar images that the test set, which takes no part, holds together or not at all.
    """

    candidate: Candidate
    parameter: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: Suggestion
    joined: JoinedImages | None = None

    def __repr__(self) -> str:
        rate = "no suggestion" if self.suggestion.rate is None else f"suggested rate {self.suggestion.rate:.1e}"
        return f"Sweep({self.candidate.strategy} on {self.candidate.backbone}, {len(self.rates)} rates: {rate})"


def sweep(
    session: Session,
    candidate: Candidate,
    *,
    low: float,
    high: float,
    steps: int,
    seed: int = 0,
    report: NamedProgress = report_nothing,
) -> Sweep:
    """Train a fresh network for `steps` steps whose rate rises from `low` to `high`, on the whole pool.

    Ends early where training breaks down. Raises InputError where the strategy trains nothing, or breaks down at once.
    """
    rates_tried, resources = rates(low, high, steps), session.resources
    rows = np.arange(len(resources.labels))
    plan = rising(resources.plan(candidate, rows), rates_tried)
    classifier = trainer.classifier_for(resources, candidate, plan, rows, seed)
    # Every step tries another rate, and so its own loss is read, on a GPU as well.
    loop = trainer.train_loop(resources, candidate, plan, classifier, rows, seed, read_every=1)
    losses: list[float] = []
    diverged = False
    try:
        for step in loop.run():
            losses.append(step.loss)
            report("rates", step.step, step.steps)
            if broke_down(losses):
                diverged = True
                break
    except DivergedError as error:  # the loss of that step is not finite and is left out
        if not losses:  # before any rate was tried
            raise InputError(error.what, hint=error.hint) from error
        diverged = True
    return Sweep(
        candidate=candidate,
        parameter=_parameter(candidate),
        rates=tuple(rates_tried[: len(losses)]),
        losses=tuple(losses),
        smoothed=tuple(smoothed(losses)),
        suggestion=suggest(rates_tried, losses, diverged=diverged),
        joined=session.dataset.joined,
    )


def _parameter(candidate: Candidate) -> str:
    return next((name for name in ("sgd_rate", "adam_rate") if name in candidate.parameters), "")
