"""Accuracy against the number of training images, from heads on features that are available.

In: resources (the pool's features, labels, groups) and a candidate whose features are read. Out: a `Forecast`, or the reason
why there is none. The test set is never used.
Does NOT cover: the method (`advisor.insight.forecast`), when there is time for it (`selection.measurements`).
"""

from __future__ import annotations

import time

import numpy as np

from advisor.aliases import Float32s, Float64s, Ints, Rows
from advisor.data import splits
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.heads import fitting, outputs
from advisor.insight import forecast
from advisor.records import AccuracyAt, ClassGain, Forecast, Head
from advisor.records.insight_messages import LearningCurveMeasured, MeasureLearningCurve
from advisor.runtime import rng

FEWEST_PER_CLASS = 8  # images, on average: below it the smallest subset is no training set
MOST = 20_000  # images of the pool that are read: a random part of a larger one
FACTORS = (1, 2, 4)  # times the images of the pool at which an accuracy is forecast
REPEATS = (forecast.REPEATS, 3)  # as many as there is time for
HEAD = "ridge"  # in closed form, its strength chosen by leave-one-out on each subset


def measure(resources: Resources, job: MeasureLearningCurve) -> LearningCurveMeasured:
    """Fit heads on nested subsets and extrapolate."""
    labels, fewest = resources.labels, FEWEST_PER_CLASS * resources.classes
    rows = np.sort(rng.permutation(job.seed, "forecast images", 0, len(labels))[:MOST])
    groups = splits.groups_of([resources.job.items[row] for row in rows])
    different = len(np.unique(groups))
    if different < fewest:
        return LearningCurveMeasured(
            forecast=None, reason=f"it needs {fewest} different training images, there are {different}"
        )
    plan = resources.plan(job.candidate, np.arange(len(labels)))
    backbone = resources.registry.backbone(job.candidate.backbone)
    features, blocks = trainer.head_features(resources, backbone, job.candidate, plan)
    features = features[rows] if len(rows) < len(features) else features
    present, class_of_row = np.unique(
        labels[rows], return_inverse=True
    )  # a class may be missing in a part of a large pool
    score = _score(features, class_of_row, blocks, job.seed)
    limit_s = float("inf") if job.limit_s is None else job.limit_s
    one_s = _seconds(score, len(rows))
    repeats = next((n for n in REPEATS if one_s * n * sum(forecast.SIZES) <= limit_s - one_s), 0)
    if not repeats:
        needed_s = one_s * REPEATS[-1] * sum(forecast.SIZES)
        return LearningCurveMeasured(
            forecast=None, reason=f"it needs about {needed_s:.0f} s, {max(0.0, limit_s - one_s):.0f} s were left for it"
        )
    curve = forecast.measure(class_of_row, score, seed=job.seed, repeats=repeats, groups_N=groups)
    record = as_record(resources, curve, present, backbone=job.candidate.backbone, head=HEAD, seed=job.seed)
    return LearningCurveMeasured(forecast=record)


def _score(features: Float32s, labels: Ints, blocks: tuple[int, ...], seed: int) -> forecast.ScoreRows:
    classes = int(labels.max()) + 1

    def score(rows: Rows, held: Rows) -> Float64s:
        fitted = fitting.fit(Head(kind=HEAD), features[rows], labels[rows], classes, seed=seed, blocks=blocks)
        return np.asarray(outputs.predict(fitted, features[held]).argmax(1) == labels[held], dtype=np.float64)

    return score


def _seconds(score: forecast.ScoreRows, images: int) -> float:
    """Time one fit on three quarters of the images, the largest that there will be."""
    order, cut = rng.permutation(0, "forecast timing", 0, images), images // 4
    begun = time.monotonic()
    score(np.sort(order[cut:]), order[:cut])
    return time.monotonic() - begun


def as_record(
    resources: Resources, curve: forecast.MeasuredErrors, present: Ints, *, backbone: str, head: str, seed: int
) -> Forecast:
    """Return the record of a curve: what was measured, what is expected beyond, the classes (of `present`) that gain."""
    sizes = [factor * len(resources.labels) for factor in FACTORS]
    return Forecast(
        backbone=backbone,
        head=head,
        repeats=curve.errors_SR.shape[1],
        held_out=curve.held_out,
        measured=tuple(_at(e) for e in forecast.measured(curve)),
        expected=tuple(_at(e) for e in forecast.expect(curve, sizes, seed=seed)),
        gains=tuple(
            ClassGain(label=resources.job.classes[int(present[k])], gain=gain)
            for k, gain in forecast.classes_that_gain(curve)
        ),
    )


def _at(expected: forecast.Expected) -> AccuracyAt:
    return AccuracyAt(images=expected.images, accuracy=expected.accuracy, ci95=(expected.low, expected.high))
