"""Accuracy against the number of training images, from trainings of the recommended candidate itself.

In: resources, and a candidate that the search trained on folds. For each fold it is trained on an eighth, a quarter and a
half of the images that the search trained it on, and scored on the images that the fold holds out, as the search did with
the whole. Out: a `Forecast`. The test set is never used.
Does NOT cover: heads on frozen features (`learning_curve`), when there is time for it (`selection.measurements`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.aliases import Float32s, Float64s, Rows
from advisor.data import splits
from advisor.errors import DivergedError, TooSlowError
from advisor.execution import timing, trainer
from advisor.execution.insight import learning_curve
from advisor.execution.resources import Resources
from advisor.insight import forecast
from advisor.records import TrainPlan
from advisor.records.insight_messages import LearningCurveMeasured, MeasureTrainedCurve
from advisor.records.messages import OnProgress
from advisor.runtime import rng, stored_arrays

SHARES = forecast.SIZES[:-1]  # of the images that a fold trains on; the whole was trained by the search


@dataclass(frozen=True, kw_only=True)
class _FoldCurve:
    """Of one fold: the images that it holds out, the sizes (S,) trained on, and what was right (S, N) with each."""

    rows: Rows
    sizes: Rows
    right_SN: Float64s


def measure(resources: Resources, job: MeasureTrainedCurve, emit: OnProgress) -> LearningCurveMeasured:
    """Train on nested subsets and extrapolate; folds that did not end in time are left out.

    Raises TooSlowError where none ended, TrialError where training fails.
    """
    deadline = timing.Deadline.of(job.limit_s, time.monotonic())
    saved = stored_arrays.read(Path(resources.job.run_dir) / job.predictions)
    whole = dict(zip(saved["rows"].tolist(), saved["logits"].argmax(axis=1) == saved["labels"], strict=True))
    curves: list[_FoldCurve] = []
    try:
        for fold in job.folds:
            curves.append(_of_fold(resources, job, fold, whole, deadline, emit))
    except TooSlowError:
        if not curves:
            raise
    rows = np.concatenate([c.rows for c in curves])
    present, class_of_row = np.unique(resources.labels[rows], return_inverse=True)
    curve = forecast.of_scored_once(
        np.asarray(np.round(np.mean([c.sizes for c in curves], axis=0)), dtype=np.int64),
        np.concatenate([c.right_SN for c in curves], axis=1),
        class_of_row,
        groups_N=splits.groups_of([resources.job.items[row] for row in rows]),
    )
    head = resources.plan(job.candidate, resources.folds()[job.folds[0]][0]).head.kind
    record = learning_curve.as_record(
        resources, curve, present, backbone=job.candidate.backbone, head=head, seed=job.seed
    )
    # One pooled curve of all folds: each image was scored once, by the model of the fold that holds it out.
    record = replace(record, source=job.candidate.strategy, repeats=len(curves), held_out=len(rows) // len(curves))
    return LearningCurveMeasured(forecast=record)


def _of_fold(
    resources: Resources,
    job: MeasureTrainedCurve,
    fold: int,
    whole: dict[int, bool],
    deadline: timing.Deadline | None,
    emit: OnProgress,
) -> _FoldCurve:
    train, val = resources.folds()[fold]
    groups = splits.groups_of([resources.job.items[row] for row in train])
    seed = rng.key(job.seed, "forecast fold", fold)
    parts = [
        train[part] for part in forecast.subsets(resources.labels[train], SHARES, seed=seed, groups_N=np.array(groups))
    ]
    # From the largest part: if that is too slow, it shows before anything else was done.
    right = [_right(resources, job, rows, val, deadline, emit) for rows in reversed(parts)]
    measured = [*reversed(right), np.array([whole[int(row)] for row in val], dtype=np.float64)]
    return _FoldCurve(rows=val, sizes=np.array([*map(len, parts), len(train)]), right_SN=np.stack(measured))


def _right(
    resources: Resources,
    job: MeasureTrainedCurve,
    rows: Rows,
    val: Rows,
    deadline: timing.Deadline | None,
    emit: OnProgress,
) -> Float64s:
    """Train on these rows and return 1 for each row of `val` that is then recognised, else 0."""
    plan = resources.plan(job.candidate, rows)
    logits = _logits(resources, job, plan, rows, val, deadline, emit)
    if not np.isfinite(logits).all():
        raise DivergedError(f"the network's outputs are not finite when it is trained on {len(rows)} images")
    return np.asarray(logits.argmax(axis=1) == resources.labels[val], dtype=np.float64)


def _logits(
    resources: Resources,
    job: MeasureTrainedCurve,
    plan: TrainPlan,
    rows: Rows,
    val: Rows,
    deadline: timing.Deadline | None,
    emit: OnProgress,
) -> Float32s:
    classifier = trainer.classifier_for(resources, job.candidate, plan, rows, job.seed)
    loop = trainer.train_loop(resources, job.candidate, plan, classifier, rows, job.seed)
    timing.steps_until(loop, plan.steps, deadline, emit, what="forecast")
    loop.finish(job.fitted)
    if deadline is not None and deadline.left_s < 0:
        raise TooSlowError("takes longer than the time that is left for it", needs_s=0.0)
    return trainer.score_rows(resources, job.candidate, plan, classifier, val)
