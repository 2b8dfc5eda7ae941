"""Candidate -> the model that ships: trained on the whole pool, written down, and scored once on the locked test.

In: material and a `Refit` or `Score`. Out: model files with their hash; scores in float32. `rerun` calls the same
functions with what the recipe says, and that is why it gets the same bits.
Does NOT cover: who won (verdict.py), when the test may be opened (advice.py).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor import evaluation, fitting, model, pixels, trial
from advisor.errors import TrialError
from advisor.material import Material
from advisor.model import Classifier
from advisor.records import ClassScore, Mistake, TestScore, TrainPlan, Unreadable
from advisor.records.jobs import Progress, Refit, Refitted, Score, Scored

MISTAKES_SHOWN = 24


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


def score(material: Material, job: Score, emit: trial.Emit) -> Scored:
    """Open the locked test: decode its items once a size, and score each model on the same images in float32."""
    labels = np.array([i.label for i in job.items], dtype=np.int64)
    canvases: dict[pixels.PixelRule, npt.NDArray[np.uint8]] = {}
    unreadable: tuple[Unreadable, ...] = ()
    outputs = []
    for folder in job.folders:
        predictor = model.load(folder, material.registry)
        rule = predictor.rule
        if rule not in canvases:
            array, broken = pixels.canvas(
                material.root,
                job.items,
                rule,
                store=material.store,
                progress=lambda done, total: emit(Progress(what="decode the test", done=done, total=total)),
            )
            canvases[rule] = array
            unreadable = tuple({u.path: u for u in (*unreadable, *broken)}.values())
        outputs.append(predictor.logits(canvases[rule], compute=material.compute(predictor.classifier.backbone)))
    lost = {u.path for u in unreadable}
    kept = np.array([i.path not in lost for i in job.items])
    if not kept.any():
        raise TrialError("no image of the test set can be read")
    np.savez(job.predictions, logits=np.stack(outputs)[:, kept], labels=labels[kept])
    scores = [_test_score(o[kept], labels[kept], material.job.classes) for o in outputs]
    items = [i for i, good in zip(job.items, kept, strict=True) if good]
    return Scored(
        scores=tuple(scores),
        ece=tuple(evaluation.ece(o[kept], labels[kept]) for o in outputs),
        mistakes=_mistakes(outputs[0][kept], labels[kept], [i.path for i in items], material.job.classes),
        unreadable=unreadable,
    )


def _test_score(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: tuple[str, ...]) -> TestScore:
    from advisor import intervals

    accuracy = evaluation.accuracy(logits, labels)
    hits = int((logits.argmax(1) == labels).sum())
    confusion = evaluation.confusion(logits, labels, len(classes))
    per_class = {}
    for index, name in enumerate(classes):
        n, taken, right = int(confusion[index].sum()), int(confusion[:, index].sum()), int(confusion[index, index])
        per_class[name] = ClassScore(recall=right / n if n else None, precision=right / taken if taken else None, n=n)
    return TestScore(
        accuracy=accuracy,
        ci95=intervals.wilson(hits, len(labels)),
        n=len(labels),
        balanced_accuracy=evaluation.balanced_accuracy(logits, labels, len(classes)),
        log_loss=evaluation.log_loss(logits, labels),
        per_class=per_class,
        confusion=tuple(tuple(int(v) for v in row) for row in confusion),
    )


def _mistakes(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], paths: list[str], classes: tuple[str, ...]
) -> tuple[Mistake, ...]:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    confidence = shifted.max(1) / shifted.sum(1)
    predicted = logits.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES_SHOWN]
    return tuple(
        Mistake(
            path=paths[i],
            label=classes[labels[i]],
            predicted=classes[predicted[i]],
            confidence=float(confidence[i]),
        )
        for i in surest
    )
