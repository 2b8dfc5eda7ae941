"""The seconds of a training step, from a few real ones, before anybody says how many there will be.

In: resources and a `TimeSteps`. Out: a `StepTime`. What a step costs beyond a frozen pass differs twofold between networks,
precisions and machines; pixels and start head that are prepared here are found again by the training itself.
Does NOT cover: what follows from it (`first_steps`).
"""

from __future__ import annotations

import statistics

from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.records.messages import StepTime, TimeSteps

LIMIT_S = 4.0  # after which no further step is done, as long as one was counted


def time_steps(resources: Resources, job: TimeSteps) -> StepTime:
    """Train a candidate for a few steps and forget it. 0 s where a step says nothing about the others.

    That is a closed-form head, a training of several phases, and one whose frozen part is computed once and kept.
    Raises TrialError where training fails.
    """
    rows = resources.folds()[0][0]
    plan = resources.plan(job.candidate, rows)
    if len(plan.phases) != 1 or plan.steps < job.warm + job.steps:
        return StepTime(step_s=0.0)
    classifier = trainer.classifier_for(resources, job.candidate, plan, rows, job.seed)
    loop = trainer.train_loop(resources, job.candidate, plan, classifier, rows, job.seed)
    if loop.cached:
        return StepTime(step_s=0.0)
    durations: list[float] = []
    for step in loop.run(until=job.warm + job.steps):
        durations.append(step.seconds)
        if len(durations) > job.warm and sum(durations) > LIMIT_S:
            break
    return StepTime(step_s=statistics.median(durations[job.warm :]))
