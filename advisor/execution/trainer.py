"""A candidate in training: its classifier before the first step, its training loop, its logits, its model file.

In: resources, a candidate with its plan, training rows, a seed. Out: the same classifier for trials, refits and reruns,
which is why they agree. Does NOT cover: folds (`trial`), the whole pool and the test (`refit`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advisor.aliases import Float32s, Rows
from advisor.data import pixels
from advisor.execution.resources import Resources
from advisor.heads import fitting, linear_head
from advisor.hooks import Backbone
from advisor.metrics import classification
from advisor.metrics.objectives import held_out
from advisor.models import features, inference, predictor
from advisor.models.classifier import Classifier
from advisor.records import Candidate, Head, TrainPlan
from advisor.records.messages import Refitted
from advisor.records.trials import RunStatus
from advisor.runtime import rng
from advisor.training import loop, loss_terms

if TYPE_CHECKING:
    from torch import nn

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the tuned weights, where a plan's finish leaves the choice to validation
START_HEADS = 32  # kept by a worker: folds times places that a search comes back to


def head_features(
    resources: Resources, backbone: Backbone, candidate: Candidate, plan: TrainPlan
) -> tuple[Float32s, tuple[int, ...]]:
    """Return the frozen features (N, D) of all rows that the plan's head looks at, and the widths of their blocks."""
    size_px = candidate.size_px or backbone.preprocess.size
    pooled = resources.pooled(backbone, size_px, plan.fit, mirror=plan.head.mirror)
    values = features.select(pooled, plan.head.layers, [s.name for s in backbone.stages])
    return values, features.blocks(pooled, plan.head.layers)


def classifier_for(resources: Resources, candidate: Candidate, plan: TrainPlan, rows: Rows, seed: int) -> Classifier:
    """Build the network with its head as it stands before the first step, the head fitted on `rows`."""
    backbone = resources.registry.backbone(candidate.backbone)
    size_px = candidate.size_px or backbone.preprocess.size
    body = resources.network(backbone, from_scratch=plan.from_scratch, seed=_start_seed(seed))
    if not plan.phases or plan.head.start == "probe":
        head = resources.group.broadcast(lambda: _fitted_head(resources, candidate, plan, rows, seed))
    else:
        width = _head_width(resources, backbone, plan, size_px)
        head = linear_head.initial(plan.head.start, width, resources.classes, seed=seed)
    where = resources.compute(backbone).device
    return Classifier(backbone, body, head.to(where), plan.head.layers, mirror=plan.head.mirror)


def warm(resources: Resources, candidate: Candidate, plan: TrainPlan, seed: int) -> None:
    """Write pixels, and the features that the head starts from, into the cache, where other processes find them."""
    backbone = resources.registry.backbone(candidate.backbone)
    resources.canvas(resources.rule(backbone, candidate.size_px or backbone.preprocess.size, plan.fit))
    if plan.head.start == "probe":
        _start_features(resources, candidate, plan, seed)


def _start_features(resources: Resources, candidate: Candidate, plan: TrainPlan, seed: int) -> features.Pooled:
    backbone = resources.registry.backbone(candidate.backbone)
    size_px = candidate.size_px or backbone.preprocess.size
    scratch_seed = _start_seed(seed) if plan.from_scratch else None
    return resources.pooled(backbone, size_px, plan.fit, scratch_seed=scratch_seed, mirror=plan.head.mirror)


def _start_seed(seed: int) -> int:
    return rng.key(seed, "initial weights") % 2**31


def _fitted_head(resources: Resources, candidate: Candidate, plan: TrainPlan, rows: Rows, seed: int) -> nn.Module:
    if not plan.phases:
        return _fit(plan.head, resources, candidate, plan, rows, seed)
    # Every trained candidate on the same fold and features begins with the very same head: it is fitted once.
    kind = Head(kind="linear", layers=plan.head.layers)
    start = (candidate.backbone, candidate.size_px, plan.fit, plan.from_scratch, plan.head.mirror, kind.layers)
    key = (*start, plan.class_weights, seed, rows.tobytes())
    if key not in resources.start_heads:
        if len(resources.start_heads) >= START_HEADS:
            resources.start_heads.pop(next(iter(resources.start_heads)))
        resources.start_heads[key] = _fit(kind, resources, candidate, plan, rows, seed)
    return copy.deepcopy(resources.start_heads[key])


def _fit(head: Head, resources: Resources, candidate: Candidate, plan: TrainPlan, rows: Rows, seed: int) -> nn.Module:
    backbone = resources.registry.backbone(candidate.backbone)
    pooled = _start_features(resources, candidate, plan, seed)
    values = features.select(pooled, plan.head.layers, [s.name for s in backbone.stages])
    weights = plan.class_weights
    if resources.job.procedure == 1 and weights == "logit_adjust" and head.kind in ("cosine_prototypes", "knn"):
        weights = "none"  # as recipes of that time shipped it
    return fitting.fit(
        head,
        values[rows],
        resources.labels[rows],
        resources.classes,
        seed=seed,
        class_weights=weights,
        blocks=features.blocks(pooled, plan.head.layers),
        groups=resources.groups[rows] if resources.job.procedure > 1 else None,
    )


def _head_width(resources: Resources, backbone: Backbone, plan: TrainPlan, size_px: int) -> int:
    if plan.head.layers == "last":
        return backbone.dim
    from advisor.models.backbone import stage_dims

    dims = stage_dims(backbone, resources.network(backbone, from_scratch=True), size_px)
    names = [s.name for s in backbone.stages]
    return sum(dims) if plan.head.layers == "all" else dims[names.index(plan.head.layers)]


def start_loop(resources: Resources, candidate: Candidate, plan: TrainPlan, rows: Rows, seed: int) -> loop.Loop:
    """Build the network and the training loop, as they stand before the first step."""
    return train_loop(resources, candidate, plan, classifier_for(resources, candidate, plan, rows, seed), rows, seed)


def train_loop(
    resources: Resources,
    candidate: Candidate,
    plan: TrainPlan,
    classifier: Classifier,
    rows: Rows,
    seed: int,
    *,
    read_every: int | None = None,
) -> loop.Loop:
    """Set the one training loop up for these rows; its loss is read after so many steps, None for the loop's own number."""
    backbone = resources.registry.backbone(candidate.backbone)
    size_px = candidate.size_px or backbone.preprocess.size
    rule = resources.rule(backbone, size_px, plan.fit)
    adapts = resources.has_target and any(stream.name == "target" for stream in plan.streams)
    data = loop.TrainData(
        canvas=resources.canvas(rule),
        labels=resources.labels,
        ids=resources.ids,
        rows=rows,
        target_canvas=resources.target_canvas(rule)[0] if adapts else None,
        target_ids=resources.target_ids if adapts else None,
        answers=resources.answers if loss_terms.needs_teacher(plan.terms) else None,
    )
    return loop.Loop(
        classifier,
        plan,
        data,
        preprocess=backbone.preprocess,
        size_px=size_px,
        seed=seed,
        compute=resources.compute(backbone),
        group=resources.group,
        read_every=read_every,
    )


def finish(
    resources: Resources,
    candidate: Candidate,
    plan: TrainPlan,
    ended: loop.Loop,
    val: Rows,
    fitted: Mapping[str, float],
) -> dict[str, float]:
    """Finish the loop with its last weights; choose what the plan leaves to validation (WiSE's alpha) by its loss on `val`.

    Where `fitted` holds what an earlier fold chose, that is used. Returns the numbers chosen, by name.
    """
    names = plan.finish.fitted if plan.finish is not None else ()
    losses = {}
    for value in SHARES if names and not fitted else ():
        classifier = ended.finish(dict.fromkeys(names, value))
        logits = score_rows(resources, candidate, plan, classifier, val)
        labels, spec = resources.labels[val], resources.job.objective
        temperature = classification.fit_temperature(logits, labels)
        decides = held_out.loss(spec, logits, labels, temperature)
        log_loss = classification.log_loss(logits / np.float32(temperature), labels)
        losses[value] = (log_loss if decides is None else decides, log_loss)
    chosen = dict.fromkeys(names, min(losses, key=lambda v: losses[v])) if losses else dict(fitted)
    ended.finish(chosen)
    return chosen


def score_rows(
    resources: Resources, candidate: Candidate, plan: TrainPlan, classifier: Classifier, rows: Rows
) -> Float32s:
    """Return the logits of these rows, in the training's own precision; in a group the first rank computes them."""
    backbone = resources.registry.backbone(candidate.backbone)
    size_px = candidate.size_px or backbone.preprocess.size
    rule = resources.rule(backbone, size_px, plan.fit)
    return resources.group.broadcast(
        lambda: inference.logits(
            classifier,
            pixels.centre(resources.canvas(rule), size_px),
            rows,
            resources.forward_spec(backbone, size_px),
        )
    )


def write_model(
    resources: Resources,
    candidate: Candidate,
    plan: TrainPlan,
    classifier: Classifier,
    folder: Path,
    *,
    rows: int,
    temperature: float,
    status: RunStatus,
    seconds: float,
) -> Refitted:
    """Write the model and its description into `folder`, and say what was carried out; `rows` is what it trained on."""
    backbone = resources.registry.backbone(candidate.backbone)
    size_px = candidate.size_px or backbone.preprocess.size
    distribution, version = resources.registry.origin(backbone.name)
    _, digest, warning = ("", "", "") if plan.from_scratch else resources.tensors(backbone)
    folder.mkdir(parents=True, exist_ok=True)
    predictor.save(
        classifier,
        folder / "model.safetensors",
        folder / "model.json",
        classes=resources.job.classes,
        preprocess=resources.preprocess(backbone),
        size_px=size_px,
        fit=plan.fit,
        temperature=temperature,
        extra={
            "status": status,
            "frozen": not plan.phases,
            "strategy": candidate.strategy,
            "plugin": {"distribution": distribution, "version": version},
        },
    )
    return Refitted(
        weights_sha256=predictor.weights_hash(classifier),
        steps=plan.steps,
        epochs=plan.steps / max(1, -(-rows // plan.batch)),
        seconds=seconds,
        pretrained_sha256=digest,
        plan=plan,
        compute=resources.compute(backbone),
        resize_px=resources.rule(backbone, size_px, plan.fit).resize_px,
        warning=warning,
    )
