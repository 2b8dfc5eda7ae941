"""Models and the locked test -> scores: the only module that runs a network on test images.

In: resources and a `Score` with the test's items (which reach a worker only now). Out: one score a model, on the same
images, in float32, and their logits in a file. Does NOT cover: when the test may be opened
(`selection.run_end`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from advisor.aliases import Float32s, Rows
from advisor.data import pixels, splits
from advisor.errors import TrialError
from advisor.execution.resources import Resources
from advisor.heads import outputs
from advisor.metrics import classification, intervals, neighbours
from advisor.metrics import classification as metrics
from advisor.models import features, model_files, predictor
from advisor.models.predictor import Predictor
from advisor.records import ClassScore, Compute, ForwardSpec, Item, Mistake, TestScore, Unreadable
from advisor.records.messages import OnProgress, Progress, Score, Scored
from advisor.runtime import atomic_file, contention

MISTAKES_SHOWN = 24
FEATURES_KEPT = 2000


class TestImages:
    """The test's pixels, decoded once a rule, and what could not be read of them."""

    __test__ = False  # pytest must not collect it

    def __init__(self, resources: Resources, items: Sequence[Item], emit: OnProgress) -> None:
        self.resources, self.items, self.emit = resources, items, emit
        self.unreadable: dict[str, Unreadable] = {}
        self._canvas: dict[pixels.PixelRule, npt.NDArray[np.uint8]] = {}

    def canvas(self, rule: pixels.PixelRule) -> npt.NDArray[np.uint8]:
        """Return all test images as squares (N, S, S, 3)."""
        if rule not in self._canvas:
            self._canvas[rule], broken = pixels.canvas(
                self.resources.root,
                self.items,
                rule,
                store=self.resources.store,
                progress=lambda done, total: self.emit(Progress(what="decode the test", done=done, total=total)),
            )
            self.unreadable.update({u.path: u for u in broken})
        return self._canvas[rule]

    def outputs(self, model: Predictor, width: int) -> tuple[Float32s, Float32s]:
        """Return a model's calibrated logits (N, K) in float32, and the last `width` features that its head reads.

        Frozen networks share one pass over the images.
        """
        compute = self.resources.compute(model.classifier.backbone)
        if model.description.get("frozen") and model.classifier.resize is None:
            return self._through_features(model, compute, width)
        return model.outputs(self.canvas(model.rule), width, compute=compute)

    def _through_features(self, model: Predictor, compute: Compute, width: int) -> tuple[Float32s, Float32s]:
        network = model.classifier
        pooled = self._pooled(model, compute)
        if network.mirror:
            pooled = features.averaged(pooled, self._pooled(model, compute, flip=True))
        values = features.select(pooled, network.layers, [s.name for s in network.backbone.stages])
        scaled: Float32s = outputs.predict(network.head, values) / np.float32(model.temperature)
        return scaled, values[:, values.shape[1] - width :]

    def _pooled(self, model: Predictor, compute: Compute, *, flip: bool = False) -> features.Pooled:
        network = model.classifier
        pixels_of = "" if model.preprocess.value_range is None else repr(model.preprocess.value_range)
        identity = "".join(i.sha256 for i in self.items) + model.fit + pixels_of
        key = hashlib.sha256(identity.encode()).hexdigest()
        return features.extract(
            network.backbone,
            network.body,
            self.canvas(model.rule),
            ForwardSpec(model.preprocess, model.size_px, replace(compute, precision="float32")),
            weights_key=predictor.weights_hash(network.body),
            item_key=key,
            store=self.resources.store,
            flip=flip,
            origin=self.resources.registry.origin(network.backbone.name),
            progress=lambda done, total: self.emit(Progress(what="score the test", done=done, total=total)),
        )


class SavedModel(NamedTuple):
    """A model's folder, and the name of its files there."""

    folder: str
    name: str = "model"


def _singles(job: Score) -> list[SavedModel]:
    return [SavedModel(folder) for folder in job.folders]


def _members(job: Score) -> list[SavedModel]:
    """List the ensemble's models, the first one where it is scored by itself; none without an ensemble."""
    if job.ensemble is None:
        return []
    _, *others = model_files.read_ensemble(Path(job.ensemble))
    return [SavedModel(job.folders[0]), *(SavedModel(job.ensemble, name) for name in others)]


@dataclass(frozen=True, kw_only=True)
class _Outputs:
    """Of the test's items at `rows`: logits (N, K) by model, features (N, D) of the first, unreadable files."""

    rows: Rows
    logits: Mapping[SavedModel, Float32s]
    features_ND: Float32s
    unreadable: Mapping[str, Unreadable]


def score(resources: Resources, job: Score, emit: OnProgress) -> Scored:
    """Open the locked test and score each model on the same images. Raises TrialError where none can be read."""
    made = _in_time(resources, job, emit)
    items = [job.items[row] for row in made.rows]
    labels = np.array([i.label for i in items], dtype=np.int64)
    outputs = [made.logits[model] for model in _singles(job)]
    readable = np.array([i.path not in made.unreadable for i in items])
    if not readable.any():
        raise TrialError("no image of the test set can be read")
    members = [made.logits[model][readable] for model in _members(job) if model in made.logits]
    together = _averaged(members) if len(members) == len(_members(job)) else None
    items = [i for i, good in zip(items, readable, strict=True) if good]
    groups = splits.groups_of(items)
    saved = {
        "logits": np.stack(outputs)[:, readable],
        "labels": labels[readable],
        "groups": groups,
        **_some(made.features_ND[readable], groups),
    }
    with atomic_file.replacing(Path(job.predictions)) as temporary, open(temporary, "wb") as file:
        np.savez(file, **(saved if together is None else {**saved, "ensemble": together}))
    classes = resources.job.classes
    return Scored(
        scores=tuple(test_score(o[readable], labels[readable], classes, groups) for o in outputs),
        ece=tuple(classification.ece(o[readable], labels[readable]) for o in outputs),
        mistakes=mistakes_of(outputs[0][readable], labels[readable], [i.path for i in items], classes),
        ensemble=None if together is None else test_score(together, labels[readable], classes, groups),
        ensemble_ece=None if together is None else classification.ece(together, labels[readable]),
        unreadable=tuple(made.unreadable.values()),
        first_only=len(made.rows) < len(job.items),
    )


def _in_time(resources: Resources, job: Score, emit: OnProgress) -> _Outputs:
    """Return the outputs for all items: without the ensemble, or for the first items alone, where the limit is too short."""
    every, first = np.arange(len(job.items)), np.array(job.first, dtype=np.int64)
    singles = _singles(job)
    others = [member for member in _members(job) if member not in singles]
    if job.limit_s is None or not 0 < len(first) < len(every):
        return _outputs(TestImages(resources, job.items, emit), every, [*singles, *others])
    images, contended = TestImages(resources, [job.items[row] for row in first], emit), contention.measure()
    before = time.monotonic()
    begun = _outputs(images, first, singles)
    between = time.monotonic()
    beside = _outputs(images, first, others)
    passed_s, now = time.monotonic() - before, contention.measure()
    slower = max(1.0, 2 * now / (contended + now))  # than the first ones were on average, if another process began
    share = slower * (len(every) - len(first)) / len(first)
    scored = models_in_time(singles, others, between - before, passed_s, share, job.limit_s)
    begun = replace(begun, logits={**begun.logits, **beside.logits}, unreadable=images.unreadable)
    if not scored:
        return begun
    remaining = np.setdiff1d(every, first)
    rest = _outputs(TestImages(resources, [job.items[row] for row in remaining], emit), remaining, scored)
    rows = np.concatenate([begun.rows, rest.rows])
    order = np.argsort(rows)
    return _Outputs(
        rows=rows[order],
        logits={m: np.concatenate([begun.logits[m], rest.logits[m]])[order] for m in scored},
        features_ND=np.concatenate([begun.features_ND, rest.features_ND])[order],
        unreadable={**begun.unreadable, **rest.unreadable},
    )


def models_in_time(
    singles: Sequence[SavedModel],
    others: Sequence[SavedModel],
    singles_s: float,
    passed_s: float,
    share: float,
    limit_s: float,
) -> list[SavedModel]:
    """Return the models that can score the rest of the test in time: all, the single ones, or none of them.

    The first part took `passed_s` in all, of which the single models took `singles_s`; the rest is `share` times as much work.
    A test of all images is worth more than an ensemble beside the single model.
    """
    if passed_s + share * passed_s <= limit_s:
        return [*singles, *others]
    return list(singles) if others and passed_s + share * singles_s <= limit_s else []


def _outputs(images: TestImages, rows: Rows, models: Sequence[SavedModel]) -> _Outputs:
    """Return these models' outputs for the items at these positions of the test, and features of the first model."""
    each, features_ND = {}, np.zeros((0, 0), dtype=np.float32)
    for number, saved in enumerate(dict.fromkeys(models)):
        model = predictor.load(saved.folder, images.resources.registry, saved.name)
        each[saved], values_ND = images.outputs(model, 0 if number else model.feature_width)
        features_ND = features_ND if number else values_ND
    return _Outputs(rows=rows, logits=each, features_ND=features_ND, unreadable=images.unreadable)


def _some(features_ND: Float32s, groups: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Return unit features and groups of evenly spaced images, at most `FEATURES_KEPT`: enough to count false alarms on."""
    rows = np.unique(np.linspace(0, len(features_ND) - 1, FEATURES_KEPT).astype(np.int64))
    return {"features": neighbours.unit(features_ND[rows]).astype(np.float16), "feature_groups": groups[rows]}


def _averaged(each: Sequence[Float32s]) -> Float32s | None:
    """Return the logarithm of the mean of calibrated probabilities, which every score takes as logits."""
    if not each:
        return None
    mean = np.mean([metrics.probabilities(logits) for logits in each], axis=0)
    logits: Float32s = np.log(np.maximum(mean, np.finfo(np.float64).tiny)).astype(np.float32)
    return logits


def test_score(
    logits: Float32s, labels: npt.NDArray[np.int64], classes: tuple[str, ...], groups: npt.NDArray[np.int64]
) -> TestScore:
    """Score logits on images that no decision saw; items of one of the `groups` are one piece of evidence."""
    accuracy = classification.accuracy(logits, labels)
    confusion = classification.confusion(logits, labels, len(classes))
    per_class = {}
    for index, name in enumerate(classes):
        n, predicted, right = int(confusion[index].sum()), int(confusion[:, index].sum()), int(confusion[index, index])
        per_class[name] = ClassScore(
            recall=right / n if n else None, precision=right / predicted if predicted else None, n=n
        )
    return TestScore(
        accuracy=accuracy,
        ci95=intervals.grouped_wilson(logits.argmax(1) == labels, groups),
        n=len(labels),
        balanced_accuracy=classification.balanced_accuracy(logits, labels, len(classes)),
        log_loss=classification.log_loss(logits, labels),
        per_class=per_class,
        confusion=tuple(tuple(int(v) for v in row) for row in confusion),
    )


def mistakes_of(
    logits: Float32s, labels: npt.NDArray[np.int64], paths: list[str], classes: tuple[str, ...]
) -> tuple[Mistake, ...]:
    """Return the images that were misjudged with the most confidence, surest first."""
    confidence = classification.probabilities(logits).max(1)
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
