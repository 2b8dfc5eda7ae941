"""One training for the table of learning curves: seconds of CPU time, and the loss of every held-out image at each rung.

In: an opened data set, a candidate, rows to train on, rows to score. Out: plain numbers for one JSON line. CPU time, not wall
time, since other work shares the machine. Does NOT cover: which trainings are recorded (record.py).
"""

from __future__ import annotations

import base64
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.heads import fitting, outputs
from advisor.metrics import classification
from advisor.records import Candidate
from advisor.training import loop as training_loop

Rows = npt.NDArray[np.int64]
RUNGS = (0.25, 0.5, 1.0)  # shares of the steps
ALPHAS = (0.0, 0.5, 1.0)  # of a finish that leaves a number to validation
FEWEST_STEPS = 10
LARGEST_LOSS, LOSS_BEND = 12.0, 20.0  # nats, of the byte that holds an image's loss
# CPU seconds of one training step of 32 images through the whole network, one thread, before any was recorded.
STEP_S = {
    ("pocket", 32): 0.10,
    ("pocket", 48): 0.19,
    ("mobilenet_v2", 32): 0.19,
    ("mobilenet_v2", 64): 0.38,
    ("squeezenet1_1", 48): 0.07,
    ("squeezenet1_1", 64): 0.12,
    ("squeezenet1_1", 96): 0.25,
}


@dataclass
class Pace:
    """Seconds of a step over the table's, by strategy and network: what lengths are chosen from."""

    ratios: dict[tuple[str, str, int], float] = field(default_factory=dict)

    @staticmethod
    def read(rows: Sequence[dict[str, Any]]) -> Pace:
        """Return what earlier rows say."""
        pace = Pace()
        for row in rows:
            if row.get("step_s") and "error" not in row:
                pace._add((row["strategy"], row["backbone"], row["size_px"]), row["step_s"], row["batch"])
        return pace

    def learn(self, resources: Resources, candidate: Candidate, rows: Rows, measured: dict[str, Any]) -> None:
        """Record what one training took."""
        self._add((candidate.strategy, candidate.backbone, candidate.size_px), measured["step_s"], measured["batch"])

    def step_s(self, candidate: Candidate, batch: int) -> float:
        """Predict the CPU seconds of one step."""
        named = (candidate.strategy, candidate.backbone, candidate.size_px)
        return self.ratios.get(named, 1.0) * STEP_S[named[1:]] * batch / 32

    def _add(self, named: tuple[str, str, int], step_s: float, batch: int) -> None:
        ratio = step_s / (STEP_S[named[1:]] * batch / 32)
        self.ratios[named] = (self.ratios[named] + ratio) / 2 if named in self.ratios else ratio


def shortened(resources: Resources, candidate: Candidate, rows: Rows, limit_s: float, pace: Pace) -> Candidate:
    """Return the candidate with so many epochs as fit into `limit_s` CPU seconds, at least `FEWEST_STEPS` steps."""
    plan = resources.plan(candidate, rows)
    batch = min(plan.batch, len(rows))
    steps = max(FEWEST_STEPS, int(limit_s / pace.step_s(candidate, batch)))
    if steps >= plan.steps:
        return candidate
    each = -(-len(rows) // plan.batch)
    return replace(candidate, parameters={**candidate.parameters, "epochs": round(steps / each, 3)})


def train(resources: Resources, candidate: Candidate, rows: Rows, held: Rows) -> dict[str, Any]:
    """Train a candidate on `rows`, score it on `held` at every rung, and return the numbers of its row."""
    began = time.process_time()
    plan = resources.plan(candidate, rows)
    classifier = trainer.classifier_for(resources, candidate, plan, rows, 0)
    loop = trainer.train_loop(resources, candidate, plan, classifier, rows, 0)
    setup_s = time.process_time() - began
    curve = Scores(resources.labels[held])
    step_s: list[float] = []
    train_loss: list[float] = []
    for until in dict.fromkeys(max(1, round(r * plan.steps)) for r in RUNGS):
        before = time.process_time()
        for step in loop.run(until=until):
            now = time.process_time()
            step_s.append(now - before)
            before = now
            train_loss.append(step.loss)
        if until == plan.steps:
            _finish(resources, candidate, loop, held)
        before = time.process_time()
        curve.add(until, trainer.score_rows(resources, candidate, plan, classifier, held), train_loss)
        curve.score_s.append(time.process_time() - before)
        train_loss = []
    return {
        "steps": plan.steps,
        "batch": min(plan.batch, len(rows)),
        "epochs": plan.steps / max(1, -(-len(rows) // plan.batch)),
        "cached": loop.cached,
        "step_s": round(statistics.median(step_s), 5),
        "steps_s": round(sum(step_s), 3),
        "setup_s": round(setup_s, 3),
        "cpu_s": round(time.process_time() - began, 3),
        **curve.fields(),
    }


def fit_head(resources: Resources, candidate: Candidate, rows: Rows, held: Rows) -> dict[str, Any]:
    """Fit a head on the frozen features of `rows`, score it on `held`, and return the numbers of its row."""
    began = time.process_time()
    plan = resources.plan(candidate, rows)
    backbone = resources.registry.backbone(candidate.backbone)
    values, blocks = trainer.head_features(resources, backbone, candidate, plan)
    setup_s = time.process_time() - began
    before = time.process_time()
    labels = resources.labels
    head = fitting.fit(plan.head, values[rows], labels[rows], resources.classes, blocks=blocks)
    fit_s = time.process_time() - before
    curve = Scores(labels[held])
    curve.add(0, outputs.predict(head, values[held]), [])
    return {
        "steps": 0,
        "setup_s": round(setup_s, 3),
        "fit_s": round(fit_s, 3),
        "cpu_s": round(time.process_time() - began, 3),
        **curve.fields(),
    }


class Scores:
    """The held-out scores of one training, a rung at a time; logits are scaled by a temperature of their own."""

    def __init__(self, labels: Rows) -> None:
        self.labels = labels
        self.score_s: list[float] = []
        self._columns: dict[str, list[Any]] = {}

    def add(self, step: int, logits: npt.NDArray[np.float32], train_loss: Sequence[float]) -> None:
        """Add the scores at one rung."""
        if not np.isfinite(logits).all():
            raise ValueError(f"outputs are not finite after {step} steps")
        temperature = classification.fit_temperature(logits, self.labels)
        losses = classification.item_log_loss(logits, self.labels, temperature=temperature)
        columns = {
            "rung": step,
            "log_loss": round(float(losses.mean()), 5),
            "raw_log_loss": round(classification.log_loss(logits, self.labels), 5),
            "accuracy": round(classification.accuracy(logits, self.labels), 5),
            "train_loss": round(float(np.mean(train_loss)), 5) if train_loss else None,
            "losses": base64.b85encode(to_bytes(losses).tobytes()).decode(),
            "right": base64.b85encode(np.packbits(logits.argmax(1) == self.labels).tobytes()).decode(),
        }
        for name, value in columns.items():
            self._columns.setdefault(name, []).append(value)

    def fields(self) -> dict[str, Any]:
        """Return what was added, one list a field; `score_s` is the mean of the scorings."""
        timed = {"score_s": round(statistics.mean(self.score_s), 4)} if self.score_s else {}
        return {**self._columns, **timed}


def to_bytes(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Store losses in nats as bytes, on a logarithmic scale: an error of about 1 % of the loss where it is not tiny."""
    bent = np.log1p(LOSS_BEND * np.minimum(losses, LARGEST_LOSS)) / np.log1p(LOSS_BEND * LARGEST_LOSS)
    return np.rint(255 * bent).astype(np.uint8)


def from_bytes(stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the losses in nats that `to_bytes` stored."""
    return np.expm1(stored / 255 * np.log1p(LOSS_BEND * LARGEST_LOSS)) / LOSS_BEND


def _finish(resources: Resources, candidate: Candidate, loop: training_loop.Loop, held: Rows) -> None:
    """Restore the final weights; of what the plan leaves to validation, the value with the lowest log-loss."""
    plan = loop.plan
    names = plan.finish.fitted if plan.finish is not None else ()
    losses = {}
    for value in ALPHAS if names else ():
        loop.finish(dict.fromkeys(names, value))
        logits = trainer.score_rows(resources, candidate, plan, loop.classifier, held)
        losses[value] = classification.log_loss(logits, resources.labels[held])
    loop.finish(dict.fromkeys(names, min(losses, key=lambda v: losses[v])) if losses else {})
