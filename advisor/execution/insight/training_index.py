"""The shipped model's features of its training images -> the index that tells images which are unlike them.

In: resources, a model's folder, and how many images may still go through a network. Out: the index beside the model and
the record of it. A frozen network's features are those of the search; a trained network needs a pass, and images that it
has not seen for the scale. Does NOT cover: the p-value (`metrics.novelty`), its time (`selection.measurements`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from advisor.aliases import Bools, Float32s, Rows
from advisor.execution.resources import Resources
from advisor.metrics import novelty
from advisor.metrics.novelty import NoveltyIndex
from advisor.models import features, inference, model_files, predictor
from advisor.models.predictor import Predictor
from advisor.records import ForwardSpec, UnlikeImages
from advisor.records.insight_messages import IndexTraining, TrainingIndexed
from advisor.records.messages import OnProgress, Progress
from advisor.runtime import rng, stored_arrays
from advisor.runtime.run_dir import NOVELTY

MOST_BYTES = 8_000_000  # of the index: 3,125 images with 1,280 features
MOST_KNOWN = 1_000  # images that set the scale
BANK_SHARE, KNOWN_SHARE = 0.4, 0.2  # of the passes, where a fold's model is asked too
LEAST_PASSES = 250  # images, below which a trained network's index is not worth its passes
RATE = 0.05  # at which false alarms are stated in the result
Scale = Literal["training", "validation", "test"]


@dataclass(frozen=True)
class _TestFeatures:
    """Features (M, D) of test images that a worker has scored, and the numbers (M,) of their groups."""

    features_MD: Float32s
    group_M: Rows

    def halves(self) -> tuple[_TestFeatures, _TestFeatures]:
        """Divide the images by whole groups: the first half sets a scale, on the second one it is checked."""
        number_M = np.unique(self.group_M, return_inverse=True)[1]
        first = number_M % 2 == 0
        if first.sum() < novelty.LEAST:
            first = ~first
        return self._take(first), self._take(~first)

    def _take(self, chosen: Bools) -> _TestFeatures:
        return _TestFeatures(self.features_MD[chosen], self.group_M[chosen])


def build(resources: Resources, job: IndexTraining, emit: OnProgress) -> TrainingIndexed:
    """Build the index and write it beside the model; without one, return why."""
    model = predictor.load(job.folder, resources.registry)
    rows, own = _own_rows(resources, job)
    most = MOST_BYTES // (2 * model.feature_width)
    test = _test_features(job)
    if model.description.get("frozen"):
        drawn = _drawn(rows, most, job.seed)
        index = novelty.build(_frozen(resources, model)[drawn], groups_N=resources.groups[drawn])
        scale = "training"
    elif job.passes is not None and job.passes < min(LEAST_PASSES, 2 * len(resources.labels)):
        return TrainingIndexed(unlike=None, reason="no time is left for it")
    else:
        index, scale, test = _trained(_Passes(resources, job, most, emit), model, rows, own, test)
    if index is None:
        return TrainingIndexed(unlike=None, reason="there are too few images")
    if len(test.features_MD):
        index = novelty.with_held_out(index, test.features_MD, test.group_M)
    model_files.write_novelty(Path(job.folder), index)
    return TrainingIndexed(unlike=describe(index, scale))


def describe(index: NoveltyIndex, scale: str, rate: float = RATE) -> UnlikeImages:
    """Return the record of an index: its sizes, and the false alarms at `rate`, or at the smallest possible rate."""
    rate = max(rate, index.smallest_rate)
    flagged, n = novelty.false_alarms(index, rate)
    name: Scale = "training" if scale == "training" else "validation" if scale == "validation" else "test"
    return UnlikeImages(
        file=NOVELTY,
        training=len(index.bank_ND),
        known=len(index.known_R),
        scale=name,
        smallest_rate=index.smallest_rate,
        rate=rate,
        false_alarms=flagged / n if n else None,
        ci95=novelty.false_alarm_interval(index, rate) if n else None,
        held_out=n,
    )


def _own_rows(resources: Resources, job: IndexTraining) -> tuple[Rows, Rows]:
    """Return the rows that the model was trained on, and those that it has not seen: of one fold, or none."""
    if len(job.folds) == 1:
        return resources.folds()[job.folds[0]]
    return np.arange(len(resources.labels)), np.zeros(0, dtype=np.int64)


def _drawn(rows: Rows, most: int, seed: int) -> Rows:
    return np.sort(rows[rng.permutation(seed, "novelty", 0, len(rows))[:most]])


def _test_features(job: IndexTraining) -> _TestFeatures:
    saved = stored_arrays.read(job.test_features) if job.test_features and Path(job.test_features).is_file() else {}
    features_MD = saved["features"].astype(np.float32) if "features" in saved else np.zeros((0, 0), dtype=np.float32)
    # A file of an earlier version has no groups of them.
    return _TestFeatures(
        features_MD, saved["feature_groups"] if "feature_groups" in saved else np.arange(len(features_MD))
    )


def _frozen(resources: Resources, model: Predictor) -> Float32s:
    """Return the features (N, D) of all items as the search computed them."""
    network = model.classifier
    pooled = resources.pooled(network.backbone, model.size_px, model.fit, mirror=network.mirror)
    values = features.select(pooled, network.layers, [s.name for s in network.backbone.stages])
    return values[:, values.shape[1] - model.feature_width :]


class _Passes:
    """Passes of images through a trained network, bounded in number."""

    def __init__(self, resources: Resources, job: IndexTraining, most: int, emit: OnProgress) -> None:
        self.resources, self.job, self.emit = resources, job, emit
        self.most = most if job.passes is None else min(most, int(BANK_SHARE * job.passes))
        self.most_known = MOST_KNOWN if job.passes is None else min(MOST_KNOWN, int(KNOWN_SHARE * job.passes))

    def bank(self, model: Predictor, rows: Rows) -> Float32s:
        """Return the features of some of these rows, as many as an index may hold."""
        return self._features(model, _drawn(rows, self.most, self.job.seed))

    def known(self, model: Predictor, rows: Rows) -> Float32s:
        """Return the features of some of these rows, as many as are needed for the scale."""
        return self._features(model, _drawn(rows, self.most_known, self.job.seed))

    def _features(self, model: Predictor, rows: Rows) -> Float32s:
        backbone = model.classifier.backbone
        compute = replace(self.resources.compute(backbone), precision="float32")
        _, values = inference.outputs(
            model.classifier,
            self.resources.canvas(self.resources.rule(backbone, model.size_px, model.fit)),
            rows,
            ForwardSpec(model.preprocess, model.size_px, compute),
            progress=lambda done, total: self.emit(Progress(what="index", done=done, total=total)),
            width=model.feature_width,
        )
        return values


def _trained(
    passes: _Passes, model: Predictor, rows: Rows, own: Rows, test: _TestFeatures
) -> tuple[NoveltyIndex | None, str, _TestFeatures]:
    """Return the index of a trained network, what set its scale, and the test images that did not."""
    job, resources = passes.job, passes.resources
    bank_ND = passes.bank(model, rows)
    if len(own) >= novelty.LEAST:
        return novelty.build(bank_ND, passes.known(model, own)), "validation", test
    index = novelty.build(bank_ND)
    if index is not None and job.fold_folder:
        other = predictor.load(job.fold_folder, resources.registry)
        seen, unseen = resources.folds()[job.fold]
        scaled = novelty.build(passes.bank(other, seen), passes.known(other, unseen))
        if scaled is not None:
            return replace(index, known_R=scaled.known_R), "validation", test
    scaling, counted = test.halves()
    return novelty.build(bank_ND, scaling.features_MD), "test", counted
