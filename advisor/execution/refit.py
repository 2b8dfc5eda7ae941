"""Candidate -> the model that ships: trained on the whole pool and written down.

In: resources and a `Refit`. Out: model files with their hash. `rerun` calls the same function with what the recipe says,
and that is why it gets the same bits. Does NOT cover: who won (`selection.verdict`), the locked test
(`test_scoring`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.aliases import Rows
from advisor.execution import fold_averaging, timing, trainer
from advisor.execution.resources import Resources
from advisor.models import predictor
from advisor.records.messages import OnProgress, Refit, Refitted


def refit(resources: Resources, job: Refit, emit: OnProgress) -> Refitted:
    """Train a candidate on the pool (or on the training parts of folds) and write the model.

    Raises TrialError where training fails, TooSlowError where it cannot end within its limit.
    """
    before = time.monotonic()
    deadline = timing.Deadline.of(job.limit_s, before) if resources.group.is_first else None
    parts = training_rows(resources, job)
    plans = [resources.plan(job.candidate, rows) for rows in parts]  # folds of unequal size may differ in their steps
    states = []
    for number, (rows, plan) in enumerate(zip(parts, plans, strict=True)):
        classifier = trainer.classifier_for(resources, job.candidate, plan, rows, job.seed)
        if plan.phases:
            loop = trainer.train_loop(resources, job.candidate, plan, classifier, rows, job.seed)
            timing.steps_until(loop, plan.steps, deadline, emit, what="refit", trainings=len(parts) - number)
            loop.finish(job.fitted)
        if len(parts) > 1:
            states.append(predictor.state_tensors(classifier))
    if states:
        classifier.load_state_dict(fold_averaging.mean(states))
    written = resources.group.broadcast(
        lambda: trainer.write_model(
            resources,
            job.candidate,
            plans[0],
            classifier,
            Path(job.to),
            rows=len(parts[0]),
            temperature=job.temperature,
            status=job.status,
            seconds=time.monotonic() - before,
        )
    )
    return replace(written, folds=job.folds)


def training_rows(resources: Resources, job: Refit) -> list[Rows]:
    """List the rows of each training: all of the pool, or those of each of the folds."""
    folds = resources.folds()
    return [folds[fold][0] for fold in job.folds] or [np.arange(len(resources.labels))]
