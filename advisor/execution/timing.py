"""Time a trial: run its steps, score it at its rungs, and stop it when it cannot end in the time left.

In: a training loop and a deadline. Out: the rungs; the mean loss, or TooSlowError with what the trial was seen to need.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.errors import TooSlowError
from advisor.execution import job_limit, trainer
from advisor.execution.resources import Resources
from advisor.records.messages import OnProgress, Progress, StepTime, TimeSteps
from advisor.records.trials import RUNGS
from advisor.training import loop as training

SCORING_SHARE = 0.1  # of the training: more than that no scoring on the way may cost
# What an image costs in a training step, in forward passes: three where it goes through the whole network and back, about
# one where only the last stages are run, from activations in memory (MobileNetV2, `benchmarks/speed/run.py steps`).
STEP_COSTS, CACHED_STEP_COSTS = 3.0, 1.0
LOOKED_AT = 5  # steps, before it is predicted whether all of them fit into the time


@dataclass(frozen=True)
class Deadline:
    """When a job must be over; `until` is a time.monotonic()."""

    until: float

    @staticmethod
    def of(limit_s: float | None, before: float) -> Deadline | None:
        """Return the end of a job that began at `before` and may take so many seconds; None for no limit."""
        return None if limit_s is None else Deadline(before + job_limit.given_up_after_s(limit_s))

    @property
    def left_s(self) -> float:
        """Seconds until then, negative once it has passed."""
        return self.until - time.monotonic()


def rungs(loop: training.Loop, scored: int) -> tuple[int, ...]:
    """Return the percents of the steps after which a training is scored on `scored` images: all, or the end alone.

    Counted, never timed, so that a run that is resumed or done again has the same ones.
    """
    each = CACHED_STEP_COSTS if loop.cached else STEP_COSTS
    on_the_way = scored * (len(RUNGS) - 1)
    return RUNGS if on_the_way <= SCORING_SHARE * each * loop.plan.steps * loop.plan.batch else RUNGS[-1:]


def steps_until(
    loop: training.Loop,
    until: int,
    deadline: Deadline | None,
    emit: OnProgress,
    *,
    what: str = "trial",
    trainings: int = 1,
) -> float:
    """Train up to step `until`, reporting progress; return the mean of the training losses read, nan without a step.

    `trainings` of this length, this one counted, must end by the deadline. Raises TooSlowError where they cannot.
    """
    losses: list[float] = []
    durations: list[float] = []
    emitted = time.monotonic()
    for step in loop.run(until=until):
        if step.is_read:
            losses.append(step.loss)
        durations.append(step.seconds)
        now = time.monotonic()
        if now - emitted > 0.5:
            emitted = now
            emit(Progress(what=what, done=step.step, total=step.steps, loss=step.loss))
        if deadline is not None and len(durations) >= LOOKED_AT:
            _give_up_if_late(loop, durations, deadline, trainings)
    return float(np.mean(losses)) if losses else float("nan")


def _give_up_if_late(loop: training.Loop, durations: list[float], deadline: Deadline, trainings: int) -> None:
    """Raise TooSlowError where the steps to come cannot end by the deadline, judged by those that were done."""
    plan = loop.plan
    views = min(plan.views, math.ceil(loop.rounds(plan.steps))) if loop.cached else 1
    filled = min(views, math.ceil(loop.rounds(loop.step))) if loop.cached else 1
    rest_s = steps_s(durations, plan.steps - loop.step, fills_seen=filled, fills=views)
    whole = steps_s(durations, plan.steps, fills_seen=filled, fills=filled + views)
    needed = rest_s + whole * (trainings - 1)
    if needed > deadline.left_s:
        remaining = max(0.0, deadline.left_s)
        raise TooSlowError(
            f"would need {needed:.0f} s more of the {remaining:.0f} s that are left for it", needs_s=whole
        )


def watch(deadline: Deadline | None) -> Callable[[], None] | None:
    """Return what ends a computation without steps, a head's: called after the deadline, it raises TooSlowError."""
    if deadline is None:
        return None

    def look() -> None:
        if deadline.left_s < 0:
            raise TooSlowError("takes longer than the time that is left for it", needs_s=0.0)

    return look


def steps_s(durations_s: Sequence[float], steps: int, *, fills_seen: int = 1, fills: int = 1) -> float:
    """Predict the seconds of `steps` further steps from those that were done.

    A few steps fill a cache and take many times as long as the others: those are told apart from the median, and
    counted by how many fills are still to come. Raises ValueError without any duration.
    """
    if not durations_s:
        raise ValueError("no step was done yet: nothing to predict from")
    usual = statistics.median(durations_s)
    extra = sum(d - usual for d in durations_s if d > 3 * usual)
    return usual * steps + extra * max(0, fills - fills_seen) / max(1, fills_seen)


# ---- timing a few steps before a search decides how many there will be ---------------------------------------------

TIMED_STEPS_LIMIT_S = 4.0  # after which no further step is done, as long as one was counted


def time_steps(resources: Resources, job: TimeSteps) -> StepTime:
    """Train a candidate for a few steps and forget it. 0 s where a step says nothing about the others.

    That is a closed-form head, a training of several phases, and one whose frozen part is computed once and kept.
    Raises TrialError where training fails.
    """
    rows = resources.folds()[0][0]
    plan = resources.plan(job.candidate, rows)
    if len(plan.phases) != 1 or plan.steps < job.warm + job.steps:
        return StepTime(step_s=0.0)
    loop = trainer.start_loop(resources, job.candidate, plan, rows, job.seed)
    if loop.cached:
        return StepTime(step_s=0.0)
    durations: list[float] = []
    for step in loop.run(until=job.warm + job.steps):
        durations.append(step.seconds)
        if len(durations) > job.warm and sum(durations) > TIMED_STEPS_LIMIT_S:
            break
    return StepTime(step_s=statistics.median(durations[job.warm :]))
