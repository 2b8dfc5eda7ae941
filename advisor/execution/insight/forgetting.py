"""A tuned model on disk beside its start -> how much of the source it has kept, and what a step back would keep.

In: resources and a `MeasureForgetting`. Out: a `Forgetting`: features before and after on the same images, distances
of stages, the original source head on labelled source images where there are any, and both accuracies at weights
between start and tuned (WiSE's curve). Does NOT cover: the measures (`metrics.representation`), how much time it may take
(`selection.measurements.forgetting_budget`).
Sources: as in `metrics.representation`; the curve, Wortsman et al. 2021 (2109.01903), figure 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from advisor.aliases import Float32s, Rows
from advisor.data import pixels
from advisor.errors import TransientReadError, TrialError, WeightsError, one_line
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.hooks import Backbone
from advisor.metrics import classification, representation
from advisor.models import backbone as backbones
from advisor.models import inference, predictor, weight_ops
from advisor.models import weight_ops as weight_state
from advisor.models.classifier import Classifier
from advisor.records import Blend, Forgetting, ForwardSpec, SourceKept, StageKept
from advisor.records.messages import ForgettingMeasured, MeasureForgetting

NEIGHBOURS = 10


def measure(resources: Resources, job: MeasureForgetting) -> ForgettingMeasured:
    """Measure a tuned model against the network that it started from.

    Raises TrialError where it did not start from pretrained weights and change them.
    """
    rows = np.arange(len(resources.labels))
    train, held = (rows, rows) if job.fold is None else resources.folds()[job.fold]
    plan = resources.plan(job.candidate, train)
    if not plan.phases or plan.from_scratch:
        raise TrialError("nothing was forgotten: the network was not changed, or had no source")
    backbone = resources.registry.backbone(job.candidate.backbone)
    start = trainer.classifier_for(resources, job.candidate, plan, train, job.seed)
    tuned = predictor.load(job.folder, resources.registry).classifier.to(backbones.device_of(start))
    measured = np.sort(held[np.argsort(resources.ids[held], kind="stable")][: job.images])
    watched = _watched(resources, job, backbone, plan.fit, measured)
    source, reason = _source(resources, job, backbone)
    blender = _Blender(start, weight_state.copy(start), weight_state.copy(tuned))
    before, first, kept_before = watched.measure(blender.at(0.0), source)
    after, last, kept_after = watched.measure(blender.at(1.0), source)
    ends = {0.0: (first, kept_before), 1.0: (last, kept_after)}
    by_share = {s: ends[s] if s in ends else watched.measure(blender.at(s), source)[1:] for s in job.shares}
    honest = job.fold is not None  # else the model was trained on these images
    k = min(NEIGHBOURS, max(1, len(measured) - 1))
    return ForgettingMeasured(
        forgetting=Forgetting(
            images=len(measured),
            held_out=honest,
            cka=_finite(representation.linear_cka(before[-1], after[-1])),
            neighbours=representation.neighbour_agreement(before[-1], after[-1], k=k),
            chance=k / max(1, len(measured) - 1),
            stages=_stages(backbone, blender, before, after),
            source=None
            if source is None or kept_before is None or kept_after is None
            else SourceKept(images=len(source.rows), size_px=source.size_px, before=kept_before, after=kept_after),
            source_reason=reason,
            blends=tuple(Blend(share=s, accuracy=a if honest else None, source=b) for s, (a, b) in by_share.items()),
        )
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _stages(
    backbone: Backbone, blender: _Blender, before: list[Float32s], after: list[Float32s]
) -> dict[str, StageKept]:
    start = {n.removeprefix("body."): v for n, v in blender.start.items() if n.startswith("body.")}
    far = weight_ops.stage_distances(backbone, start, blender.at(1.0).body)
    return {
        stage.name: StageKept(distance=_finite(far[stage.name]), cka=_finite(representation.linear_cka(a, b)))
        for stage, a, b in zip(backbone.stages, before, after, strict=True)
    }


@dataclass(frozen=True)
class _Blender:
    """Puts weights between start and tuned into one network."""

    network: Classifier
    start: dict[str, torch.Tensor]
    tuned: dict[str, torch.Tensor]

    def at(self, share: float) -> Classifier:
        """Return the network with (1 - share) x start + share x tuned; 0 and 1 are exact."""
        ends = {0.0: self.start, 1.0: self.tuned}
        values = ends.get(share) or {n: v.lerp(self.tuned[n], share) for n, v in self.start.items()}
        weight_state.put(values, self.network)
        return self.network


@dataclass(frozen=True)
class _Source:
    """Labelled source images as the source network wants them, and its own head."""

    head: nn.Module
    canvas: npt.NDArray[np.uint8]
    rows: Rows
    labels: Rows
    size_px: int


@dataclass(frozen=True)
class _Watched:
    """Images of the new task, always the same."""

    resources: Resources
    backbone: Backbone
    canvas: npt.NDArray[np.uint8]
    rows: Rows
    size_px: int

    def measure(self, network: Classifier, source: _Source | None) -> tuple[list[Float32s], float, float | None]:
        """Return every stage's pooled features, the accuracy on these images, and on the source where there is one."""
        compute = self.resources.compute(self.backbone)
        inference.move(network, compute)
        features: list[list[torch.Tensor]] = []
        with inference.eval_mode(network), torch.inference_mode(), inference.autocast(compute):
            for images, n in inference.batches(
                self.canvas, self.rows, ForwardSpec(self.backbone.preprocess, self.size_px, compute)
            ):
                pooled = backbones.pooled(self.backbone, network.body, images)
                features.append([f[:n].float().cpu() for f in [*pooled, network.head(_read(network, pooled))]])
        stages = [np.asarray(torch.cat(column).numpy()) for column in zip(*features, strict=True)]
        accuracy = classification.accuracy(stages.pop(), self.resources.labels[self.rows])
        return stages, accuracy, None if source is None else self._of_source(network, source)

    def _of_source(self, network: Classifier, source: _Source) -> float:
        compute = self.resources.compute(self.backbone)
        right = 0
        with inference.eval_mode(network), torch.inference_mode(), inference.autocast(compute):
            for start, (images, n) in enumerate(
                inference.batches(
                    source.canvas, source.rows, ForwardSpec(self.backbone.preprocess, source.size_px, compute)
                )
            ):
                predicted = source.head(backbones.run(self.backbone, network.body, images))[:n].argmax(1).cpu().numpy()
                at = start * compute.inference_batch
                right += int((predicted == source.labels[at : at + n]).sum())
        return right / len(source.rows)


def _read(network: Classifier, pooled: list[torch.Tensor]) -> torch.Tensor:
    if network.layers == "all":
        return torch.cat(pooled, dim=1)
    return pooled[-1 if network.layers == "last" else backbones.stage_index(network.backbone, network.layers)]


def _watched(resources: Resources, job: MeasureForgetting, backbone: Backbone, fit: str, rows: Rows) -> _Watched:
    size_px = job.candidate.size_px or backbone.preprocess.size
    canvas = pixels.centre(resources.canvas(resources.rule(backbone, size_px, fit)), size_px)
    return _Watched(resources, backbone, canvas, rows, size_px)


def _source(resources: Resources, job: MeasureForgetting, backbone: Backbone) -> tuple[_Source | None, str | None]:
    """Open the source images at the network's own size; None with the reason where its source head cannot judge them."""
    if not job.source_items:
        return None, job.source_reason
    try:
        head = backbones.build_source_head(backbone, resources.tensors(backbone)[0])
    except WeightsError as error:
        return None, str(error)
    size_px = backbone.preprocess.size
    rule = resources.rule(backbone, size_px)
    try:
        canvas, broken = pixels.canvas(Path(job.source_root), job.source_items, rule, store=resources.store)
    except TransientReadError as error:  # a disk that fails now: the other measures do not need it
        return None, one_line(error)
    unreadable = {u.path for u in broken}
    rows = np.array([i for i, item in enumerate(job.source_items) if item.path not in unreadable], dtype=np.int64)
    if not len(rows):
        return None, f"none of the images in {job.source_root} can be read any more"
    where = torch.device(resources.compute(backbone).device)
    with torch.inference_mode():
        last = backbones.run(
            backbone, resources.network(backbone).eval(), torch.zeros(1, 3, size_px, size_px, device=where)
        )
        classes = head.to(where)(last).shape[1]
    if classes != job.source_classes:
        return None, f"the source head has {classes} classes, and --source has {job.source_classes} class folders"
    labels = np.array([job.source_items[i].label for i in rows], dtype=np.int64)
    return _Source(head, pixels.centre(canvas, size_px), rows, labels, size_px), None
