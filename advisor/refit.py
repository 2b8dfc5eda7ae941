"""Candidate -> the model that ships: trained on the whole pool and written down.

In: material and a `Refit`. Out: model files with their hash. `rerun` calls the same function with what the recipe says,
and that is why it gets the same bits. Does NOT cover: who won (verdict.py), the locked test (scoring.py).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor import fitting, pace
from advisor.material import Material
from advisor.records.jobs import Refit, Refitted


def refit(material: Material, job: Refit, emit: pace.Emit) -> Refitted:
    """Train a candidate on the pool (or on one fold's training part) and write the model.

    Raises TrialError where training fails, TooSlow where it cannot end within its limit.
    """
    before = time.monotonic()
    deadline = before + job.limit_s if job.limit_s is not None and material.team.first else None
    rows = np.arange(len(material.labels)) if job.fold is None else material.folds()[job.fold][0]
    plan = material.plan(job.candidate, rows)
    classifier = fitting.classifier_for(material, job.candidate, plan, rows, job.seed)
    if plan.phases:
        loop = fitting.train_loop(material, job.candidate, plan, classifier, rows, job.seed)
        pace.steps_until(loop, plan.steps, deadline, 1, 1, emit, what="refit")
        loop.finish(job.fitted)
    written = material.team.agreed(
        lambda: fitting.write_model(
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
    )
    return replace(written, fold=job.fold)
