"""Arms side by side: the same network trained in several ways for equal steps, watched all the way.

What it makes visible is the implicit regularisation of transfer: learning curves, the gap between training and held-out
images, how far each stage moves from where it began, the path of the weights in its two main directions, how sharp the
end is, and how much of the starting features is left. In: a session and arm names. Out: numbers. Does NOT cover: search,
the locked test, drawing (`comparison_page`).
Sources: Neyshabur et al. 2020 (2008.11687), What is being transferred?; filter-wise perturbation and weight paths, Li et
al. 2018 (1712.09913).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from advisor.aliases import Floats, Rows
from advisor.data import pixels
from advisor.errors import InputError
from advisor.execution import trainer
from advisor.metrics import classification, representation
from advisor.models import inference, weight_ops
from advisor.models.classifier import Classifier
from advisor.records import Candidate, TrainPlan
from advisor.runtime import rng
from advisor.training import loop as training
from advisor.workflows import loss_surface
from advisor.workflows.session import Report, Session, make_candidate, report_nothing

ALIASES = {"pretrained": "full"}  # what a person calls an arm -> its strategy
WATCHED = 500  # training images on which training accuracy is measured
POINTS = 10  # times that an arm is looked at, the start apart
NEIGHBOURS = 10  # fewer where there are few images
DRAWS, RADIUS = 5, 0.1  # random directions of the sharpness, and their length as a share of each filter's
SURFACE_IMAGES = 128


@dataclass(frozen=True, kw_only=True)
class Point:
    """An arm at a step. `loss` is the mean training loss since the last point (nan at the start); `train_*` are measured
    without augmentation on the same images each time; `distance` is |w - w0| of the body, `stages` relative ones."""

    step: int
    loss: float
    train_accuracy: float
    train_log_loss: float
    accuracy: float
    log_loss: float
    distance: float
    stages: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm at its end: `steps` of those `planned`, fewer where its time was over. `gap` is training minus held-out
    accuracy; `sharpness` the mean rise of the training log-loss under random changes of a tenth of every filter; `cka`
    and `neighbours` say what is left of the starting features."""

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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All arms, on the same `train_images` and `held_out` images of the pool."""

    backbone: str
    size_px: int
    seed: int
    epochs: float
    classes: int
    train_images: int
    held_out: int
    arms: tuple[Arm, ...]


def compare(
    session: Session,
    names: Sequence[str],
    *,
    epochs: float,
    batch: int = 32,
    seed: int = 0,
    surface: int = 0,
    deadline: float | None = None,
    report: Report = report_nothing,
) -> Comparison:
    """Train the arms one after another at equal steps. Arms are "pretrained", "scratch" or names of strategies.

    `surface` is the number of points a side of the loss surface around each path; 0 draws none. `deadline` is a
    time.monotonic(): the arms share the time until then evenly, and one that does not end in its part stops early.
    Raises InputError where an arm is unknown, named twice, or trains nothing.
    """
    if len(set(names)) < len(names) or not names:
        raise InputError("--arms: name each arm once, for example pretrained,scratch.")
    rows, held_out = session.resources.folds()[0]
    every = [(name, *planned(session, name, rows, epochs, batch)) for name in names]
    arms = []
    for i, (name, c, plan) in enumerate(every):
        now = time.monotonic()
        end = None if deadline is None else now + (deadline - now) / (len(every) - i)
        arms.append(_train(session, name, c, plan, seed, surface, end, report))
    return Comparison(
        backbone=session.backbone.name,
        size_px=session.size_px,
        seed=seed,
        epochs=epochs,
        classes=session.resources.classes,
        train_images=len(rows),
        held_out=len(held_out),
        arms=tuple(arms),
    )


def planned(session: Session, name: str, rows: Rows, epochs: float, batch: int) -> tuple[Candidate, TrainPlan]:
    """Give an arm's candidate and plan. Raises InputError where it trains nothing."""
    strategy = ALIASES.get(name, name)
    card = session.resources.registry.strategy(strategy).card
    known = {p.name for p in getattr(card, "parameters", ())}
    shared = {k: v for k, v in {"epochs": epochs, "batch": batch}.items() if k in known}
    chosen = make_candidate(session, strategy, shared)
    plan = session.resources.plan(chosen, rows)
    if not plan.phases:
        raise InputError(f"--arms {name}: it fits a head at once and has no curve.", hint="Name strategies that train.")
    return chosen, plan


def _train(
    session: Session,
    name: str,
    chosen: Candidate,
    plan: TrainPlan,
    seed: int,
    surface: int,
    end: float | None,
    report: Report,
) -> Arm:
    rows, held_out = session.resources.folds()[0]
    began = time.monotonic()
    network = trainer.classifier_for(session.resources, chosen, plan, rows, seed)
    start = weight_ops.copy(network.body)
    loop = trainer.train_loop(session.resources, chosen, plan, network, rows, seed)
    watched = rows[rng.permutation(seed, "watched", 0, len(rows))[:WATCHED]]
    seen = np.union1d(watched, held_out)
    before = _features(session, plan, network, seen)
    look = _Look(session, chosen, plan, network, start, np.sort(watched), held_out)
    points, places = _followed(loop, look, end, lambda step: report(name, step, plan.steps))
    after = _features(session, plan, network, seen)
    directions, path, explained = representation.components(places)
    places_2 = tuple((float(x), float(y)) for x, y in path)
    return Arm(
        name=name,
        strategy=chosen.strategy,
        parameters=chosen.parameters,
        steps=loop.step,
        planned=plan.steps,
        seconds=time.monotonic() - began,
        points=tuple(points),
        accuracy=points[-1].accuracy,
        gap=points[-1].train_accuracy - points[-1].accuracy,
        sharpness=look.sharpness(seed),
        cka=representation.linear_cka(before, after),
        neighbours=representation.neighbour_agreement(before, after, k=min(NEIGHBOURS, max(1, len(seen) // 5))),
        path=places_2,
        path_explained=explained,
        surface=look.surface(places[0], directions, places_2, surface) if surface else None,
    )


def _followed(
    loop: training.Loop, look: _Look, end: float | None, tell: Callable[[int], None]
) -> tuple[list[Point], list[Floats]]:
    """Train, and measure at every stop; the weights passed through stand beside the measures."""
    points, places = [look.point(0, float("nan"))], [loss_surface.flat(look.network.body)]
    for until in stops(loop.plan.steps):
        loss = _until(loop, until, end, tell)
        late = loop.step < until
        if late or until == loop.plan.steps:
            loop.finish()
        points.append(look.point(loop.step, loss))
        places.append(loss_surface.flat(look.network.body))
        if late:
            break
    return points, places


def stops(steps: int, points: int = POINTS) -> list[int]:
    """Give the steps after which an arm is looked at: about `points` of them, evenly spaced, the last one the end."""
    return sorted({max(1, round(steps * i / points)) for i in range(1, points + 1)})


def _until(loop: training.Loop, until: int, end: float | None, tell: Callable[[int], None]) -> float:
    losses = []
    for step in loop.run(until=until):
        losses.append(step.loss)
        tell(step.step)
        if end is not None and time.monotonic() > end:
            break
    return float(np.mean(losses)) if losses else float("nan")


def _features(session: Session, plan: TrainPlan, network: Classifier, rows: Rows) -> npt.NDArray[np.float32]:
    """Give the features that the head reads, for these images as they are."""
    compute, parts = session.resources.compute(session.backbone), []
    canvas = session.resources.canvas(session.resources.rule(session.backbone, session.size_px, plan.fit))
    inference.place(network, compute)
    with inference.evaluating(network), torch.inference_mode(), inference.autocast(compute):
        for images, n in inference.batches(
            pixels.centre(canvas, session.size_px),
            rows,
            preprocess=session.backbone.preprocess,
            size_px=session.size_px,
            compute=compute,
        ):
            parts.append(network.features(images)[:n].float().cpu())
    return np.asarray(torch.cat(parts).numpy())


@dataclass(frozen=True)
class _Look:
    """Measures one arm at any step, always on the same images."""

    session: Session
    candidate: Candidate
    plan: TrainPlan
    network: Classifier
    start: Mapping[str, torch.Tensor]
    watched: Rows
    held_out: Rows

    def scores(self, rows: Rows) -> tuple[float, float]:
        """Give (accuracy, log-loss) on these rows."""
        logits = trainer.score_rows(self.session.resources, self.candidate, self.plan, self.network, rows)
        labels = self.session.resources.labels[rows]
        return classification.accuracy(logits, labels), classification.log_loss(logits, labels)

    def point(self, step: int, loss: float) -> Point:
        """Measure everything that is cheap."""
        train, held = self.scores(self.watched), self.scores(self.held_out)
        weights = {name: self.start[name] for name, _ in self.network.body.named_parameters()}
        return Point(
            step=step,
            loss=loss,
            train_accuracy=train[0],
            train_log_loss=train[1],
            accuracy=held[0],
            log_loss=held[1],
            distance=weight_ops.distance(weights, self.network.body),
            stages=weight_ops.stage_distances(self.session.backbone, self.start, self.network.body),
        )

    def surface(
        self, start: Floats, directions: Floats, path: Sequence[tuple[float, float]], points: int
    ) -> loss_surface.Surface:
        """Give the log-loss on some watched images around the path; BatchNorm's statistics are those of the end."""
        few = self.watched[:: max(1, len(self.watched) // SURFACE_IMAGES)]
        return loss_surface.surface(
            self.network.body, start, directions, path, lambda: self.scores(few)[1], points=points
        )

    def sharpness(self, seed: int) -> float:
        """Give the mean rise of the log-loss on watched images over random directions; the weights are put back."""
        here = weight_ops.copy(self.network.body)
        level, rises = self.scores(self.watched)[1], []
        for draw in range(DRAWS):
            loss_surface.nudge(self.network.body, RADIUS, rng.key(seed, "sharpness", draw))
            rises.append(self.scores(self.watched)[1] - level)
            weight_ops.put(here, self.network.body)
        return float(np.mean(rises))


def plain(told: Comparison) -> dict[str, Any]:
    """Give the comparison as plain values ready for JSON: nan becomes None."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict | list | tuple):
            return {k: clean(v) for k, v in value.items()} if isinstance(value, dict) else [clean(v) for v in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return {"schema": 1, **clean(asdict(told))}
