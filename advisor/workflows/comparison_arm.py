"""One arm of a comparison: trained for its steps, and measured at evenly spaced points on the way.

In: a session, a candidate with its plan, a seed. Out: a `ComparisonArm`: learning curve, distances from the start, sharpness,
similarity to the starting features, path of the weights. Does NOT cover: which arms, sharing the time (`comparison`).
Sources: Neyshabur et al. 2020 (2008.11687); filter-wise perturbation and weight paths, Li et al. 2018 (1712.09913).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from advisor.aliases import Floats, NamedProgress, Rows
from advisor.data import pixels
from advisor.execution import trainer
from advisor.metrics import classification, representation
from advisor.models import inference, weight_ops
from advisor.models.classifier import Classifier
from advisor.records import Candidate, ForwardSpec, TrainPlan
from advisor.runtime import rng
from advisor.training.loop import Loop
from advisor.workflows import loss_surface
from advisor.workflows.session import Session

WATCHED = 500  # training images on which training accuracy is measured
POINTS = 10  # measurements of an arm after the one at its start
NEIGHBOURS = 10  # fewer if there are few images
DRAWS, RADIUS = 5, 0.1  # random directions for the sharpness, and their length relative to the norm of each filter
SURFACE_IMAGES = 128


@dataclass(frozen=True, kw_only=True)
class Point:
    """An arm at a step. `loss` is the mean training loss since the last point (nan at the start); `train_*` are measured
    without augmentation, always on the same images; `distance` is |w - w0| of the body, `stages` the relative distance of
    each stage."""

    step: int
    loss: float
    train_accuracy: float
    train_log_loss: float
    accuracy: float
    log_loss: float
    distance: float
    stages: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ComparisonArm:
    """A trained arm. `steps` is below `planned` if it ran out of time. `gap` is training minus held-out accuracy;
    `sharpness` the mean increase of the training log-loss when every filter is moved by a tenth of its norm in a random
    direction; `cka` and `neighbours` are the similarity of its features to the starting ones."""

    name: str
    strategy: str
    parameters: dict[str, Any]
    steps: int
    seconds: float
    points: tuple[Point, ...]
    accuracy: float
    gap: float
    sharpness: float
    cka: float
    neighbours: float
    path: tuple[tuple[float, float], ...]
    path_explained: float
    planned: int
    surface: loss_surface.Surface | None = None


def train(
    session: Session,
    name: str,
    chosen: Candidate,
    plan: TrainPlan,
    seed: int,
    surface: int,
    end: float | None,
    report: NamedProgress,
) -> ComparisonArm:
    """Train one arm on all folds but the first, until its plan or the time.monotonic() `end` is over, and measure it.

    `surface` is the number of grid points per side of the loss surface, 0 for none.
    """
    rows, held_out = session.resources.folds()[0]
    began = time.monotonic()
    network = trainer.classifier_for(session.resources, chosen, plan, rows, seed)
    start = weight_ops.copy(network.body)
    loop = trainer.train_loop(session.resources, chosen, plan, network, rows, seed)
    watched = rows[rng.permutation(seed, "watched", 0, len(rows))[:WATCHED]]
    measured = np.union1d(watched, held_out)
    before = _features(session, plan, network, measured)
    evaluator = _ArmEvaluator(session, chosen, plan, network, start, np.sort(watched), held_out)
    points, weights = _train_and_measure(loop, evaluator, end, lambda step: report(name, step, plan.steps))
    after = _features(session, plan, network, measured)
    directions, coordinates, explained = representation.components(weights)
    path = tuple((float(x), float(y)) for x, y in coordinates)
    return ComparisonArm(
        name=name,
        strategy=chosen.strategy,
        parameters=chosen.parameters,
        steps=loop.step,
        planned=plan.steps,
        seconds=time.monotonic() - began,
        points=tuple(points),
        accuracy=points[-1].accuracy,
        gap=points[-1].train_accuracy - points[-1].accuracy,
        sharpness=evaluator.sharpness(seed),
        cka=representation.linear_cka(before, after),
        neighbours=representation.neighbour_agreement(before, after, k=min(NEIGHBOURS, max(1, len(measured) // 5))),
        path=path,
        path_explained=explained,
        surface=evaluator.surface(weights[0], directions, path, surface) if surface else None,
    )


def _train_and_measure(
    loop: Loop, evaluator: _ArmEvaluator, end: float | None, report_step: Callable[[int], None]
) -> tuple[list[Point], list[Floats]]:
    """Train, and measure at every stop; return the points and the flat weights at each of them."""
    points, weights = [evaluator.point(0, float("nan"))], [loss_surface.flat(evaluator.network.body)]
    for until in stops(loop.plan.steps):
        loss = _train_until(loop, until, end, report_step)
        late = loop.step < until
        if late or until == loop.plan.steps:
            loop.finish()
        points.append(evaluator.point(loop.step, loss))
        weights.append(loss_surface.flat(evaluator.network.body))
        if late:
            break
    return points, weights


def stops(steps: int, points: int = POINTS) -> list[int]:
    """Return the steps after which an arm is measured: about `points`, evenly spaced, the last one at the end."""
    return sorted({max(1, round(steps * i / points)) for i in range(1, points + 1)})


def _train_until(loop: Loop, until: int, end: float | None, report_step: Callable[[int], None]) -> float:
    losses = []
    for step in loop.run(until=until):
        if step.is_read:
            losses.append(step.loss)
        report_step(step.step)
        if end is not None and time.monotonic() > end:
            break
    return float(np.mean(losses)) if losses else float("nan")


def _features(session: Session, plan: TrainPlan, network: Classifier, rows: Rows) -> npt.NDArray[np.float32]:
    """Return the features that the head reads (N, D), without augmentation."""
    compute, parts = session.resources.compute(session.backbone), []
    canvas = session.resources.canvas(session.resources.rule(session.backbone, session.size_px, plan.fit))
    inference.move(network, compute)
    with inference.eval_mode(network), torch.inference_mode(), inference.autocast(compute):
        for images, n in inference.batches(
            pixels.centre(canvas, session.size_px),
            rows,
            ForwardSpec(session.backbone.preprocess, session.size_px, compute),
        ):
            parts.append(network.features(images)[:n].float().cpu())
    return np.asarray(torch.cat(parts).numpy())


@dataclass(frozen=True)
class _ArmEvaluator:
    """The measurements of one arm at any step, always on the same images."""

    session: Session
    candidate: Candidate
    plan: TrainPlan
    network: Classifier
    start: Mapping[str, torch.Tensor]
    watched: Rows
    held_out: Rows

    def scores(self, rows: Rows) -> tuple[float, float]:
        """Return (accuracy, log-loss) on these rows."""
        logits = trainer.score_rows(self.session.resources, self.candidate, self.plan, self.network, rows)
        labels = self.session.resources.labels[rows]
        return classification.accuracy(logits, labels), classification.log_loss(logits, labels)

    def point(self, step: int, loss: float) -> Point:
        """Measure everything that is cheap at a step; `loss` is the mean training loss since the last point."""
        on_train, on_held_out = self.scores(self.watched), self.scores(self.held_out)
        weights = {name: self.start[name] for name, _ in self.network.body.named_parameters()}
        return Point(
            step=step,
            loss=loss,
            train_accuracy=on_train[0],
            train_log_loss=on_train[1],
            accuracy=on_held_out[0],
            log_loss=on_held_out[1],
            distance=weight_ops.distance(weights, self.network.body),
            stages=weight_ops.stage_distances(self.session.backbone, self.start, self.network.body),
        )

    def surface(
        self, start: Floats, directions: Floats, path: Sequence[tuple[float, float]], points: int
    ) -> loss_surface.Surface:
        """Evaluate the log-loss around the path on some training images, with the final BatchNorm statistics."""
        few = self.watched[:: max(1, len(self.watched) // SURFACE_IMAGES)]
        return loss_surface.evaluate_grid(
            self.network.body, start, directions, path, lambda: self.scores(few)[1], points=points
        )

    def sharpness(self, seed: int) -> float:
        """Return the mean increase of the training log-loss over random directions; the weights are restored."""
        original = weight_ops.copy(self.network.body)
        level, rises = self.scores(self.watched)[1], []
        for draw in range(DRAWS):
            loss_surface.nudge(self.network.body, RADIUS, rng.key(seed, "sharpness", draw))
            rises.append(self.scores(self.watched)[1] - level)
            weight_ops.put(original, self.network.body)
        return float(np.mean(rises))
