"""Candidate -> the model that ships: trained on the whole pool and written down.

In: material and a `Refit`. Out: model files with their hash. `rerun` calls the same function with what the recipe says,
and that is why it gets the same bits. Does NOT cover: who won (verdict.py), the locked test (scoring.py).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor import fitting, trial
from advisor.material import Material
from advisor.model import Classifier
from advisor.records import TrainPlan
from advisor.records.jobs import Progress, Refit, Refitted


def refit(material: Material, job: Refit, emit: trial.Emit) -> Refitted:
    """Train a candidate on the pool (or on one fold's training part) and write the model.

    Raises TrialError where training fails.
    """
    before = time.monotonic()
    rows = np.arange(len(material.labels)) if job.fold is None else material.folds()[job.fold][0]
    plan = material.plan(job.candidate, rows)
    classifier = fitting.classifier_for(material, job.candidate, plan, rows, job.seed)
    if plan.phases:
        _train(material, job, plan, classifier, rows, emit)
    return fitting.write_model(
        material,
        job.candidate,
        plan,
        classifier,
        Path(job.to),
        rows=len(rows),
        temperature=job.temperature,
        status=job.status,
        seconds=time.monotonic() - before,
    )


def _train(
    material: Material,
    job: Refit,
    plan: TrainPlan,
    classifier: Classifier,
    rows: npt.NDArray[np.int64],
    emit: trial.Emit,
) -> None:
    loop = fitting.train_loop(material, job.candidate, plan, classifier, rows, job.seed)
    told = time.monotonic()
    for step in loop.run():
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            emit(Progress(what="refit", done=step.step, total=step.steps, loss=step.loss))
    loop.finish(job.fitted)
