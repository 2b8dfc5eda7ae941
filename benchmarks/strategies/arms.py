"""Arms side by side at equal epochs: `python benchmarks/strategies/arms.py SUITE --to DATA --out ROWS [--limit-s 300]`.

Resumable: every finished (arm, seed) is a line of ROWS; with `--limit-s` no arm is begun after so many seconds, one that
is under way is put down and goes on from its checkpoint, and the exit code is 1 while something is missing. Training
images train, a given or drawn validation set chooses WiSE's alpha, the test only scores. `tables.py` writes
docs/strategies.md from the lines. Shapes: N rows, K classes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent))
from rows import Rows
from suites import SUITES, Arm, Suite

from advisor import registry
from advisor.data import dataset
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.heads import outputs
from advisor.hooks import Backbone
from advisor.metrics import classification
from advisor.models.classifier import Classifier
from advisor.records import Candidate, Dataset, Head, OptimizerSpec, Phase, ScheduleSpec, TrainPlan
from advisor.records.messages import OpenDataset
from advisor.records.plan import Augmentation
from advisor.runtime import device
from advisor.training import loop as training

Ints = npt.NDArray[np.int64]
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> int:
    """Run what is missing; 1 where the time was over before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--to", type=Path, required=True, help="where the data sets are unpacked")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, help="fewer than the suite's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=float("inf"))
    asked = parser.parse_args()
    began, suite, rows = time.monotonic(), SUITES[asked.suite], Rows(asked.out)
    todo = [
        (seed, name)
        for seed in range(asked.seeds or suite.seeds)
        for name in suite.arms
        if not rows.has({"suite": asked.suite, "arm": name, "seed": seed})
    ]
    if not todo:
        return 0
    data_set = dataset.read(asked.to / suite.data / suite.inside, test_split="none" if suite.train else "auto")
    resources = open_resources(data_set, asked.threads)
    for seed, name in todo:
        if time.monotonic() - began > asked.limit_s:
            return 1
        saved = asked.out.with_name(f".{asked.suite}-{seed}-{list(suite.arms).index(name)}.ckpt")
        done = run(resources, suite, name, seed, Pause(saved, began + asked.limit_s))
        if done is None:
            return 1
        for arm, numbers in done.items():
            key = {"suite": asked.suite, "arm": arm, "seed": seed}
            if not rows.has(key):
                rows.add(key, **numbers, threads=asked.threads)
                print(key, {k: v for k, v in numbers.items() if k != "alphas"}, flush=True)
    return 0


@dataclass(frozen=True)
class Pause:
    """Where a training that does not end before `until` (time.monotonic()) is put down, to be taken up again."""

    path: Path
    until: float

    def train(self, loop: training.Loop) -> float | None:
        """Train to the end and give the seconds that all of it took; None where the time is over and it was put down."""
        import torch

        spent, began = 0.0, time.monotonic()
        if self.path.exists():
            saved = torch.load(self.path, weights_only=False)
            loop.load_state_dict(saved["loop"])
            spent = saved["spent"]
        for step in loop.run():
            if time.monotonic() > self.until and step.step < step.steps:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                torch.save({"loop": loop.state_dict(), "spent": spent + time.monotonic() - began}, self.path)
                return None
        self.path.unlink(missing_ok=True)
        return spent + time.monotonic() - began


def open_resources(data_set: Dataset, threads: int) -> Resources:
    """Open all items, the test's too: rows say which are used for what."""
    job = OpenDataset(
        root=data_set.root,
        classes=data_set.classes,
        items=data_set.items,
        folds=5,
        seed=0,
        device="cpu",
        run_dir="",
        offline=True,
        threads=threads,
    )
    return Resources(job, registry.load(), lambda what, done, total: None)


def split(resources: Resources, suite: Suite, seed: int) -> tuple[Ints, Ints, Ints]:
    """Return training, validation and test rows: the given split, thinned where the suite says so, or a stratified draw."""
    given = np.array([i.given for i in resources.job.items])
    everyone, labels = np.arange(len(given)), resources.labels
    if not (given == "test").any():
        assert suite.train is not None
        assert suite.test is not None
        train, rest = _draw(everyone, labels, suite.train, seed)
        val, rest = _draw(rest, labels, suite.val, seed)
        return train, val, _draw(rest, labels, suite.test, seed)[0]
    train, val, test = (everyone[given == name] for name in ("train", "val", "test"))
    if suite.train is not None:
        train = _draw(train, labels, suite.train, seed)[0]
    if suite.test is not None:
        test = _draw(test, labels, suite.test, 0)[0]
    return train, val, test


def _draw(rows: Ints, labels: Ints, count: int, seed: int) -> tuple[Ints, Ints]:
    from sklearn.model_selection import train_test_split

    taken, rest = train_test_split(rows, train_size=count, stratify=labels[rows], random_state=seed)
    return np.sort(taken), np.sort(rest)


def run(resources: Resources, suite: Suite, name: str, seed: int, pause: Pause) -> dict[str, dict[str, Any]] | None:
    """Train an arm and score it: rows by arm name (two for `wise_ft`, whose last weights are those of `full`).

    None where the time was over before.
    """
    backbone = resources.registry.backbone(suite.backbone)
    device.apply(resources.compute(backbone))
    train, val, test = split(resources, suite, seed)
    arm = suite.arms[name]
    candidate = Candidate(
        backbone=backbone.name, strategy=arm.strategy, parameters={}, origin="benchmark", size_px=suite.size_px
    )
    plan = plan_for(resources, backbone, suite, arm, train)
    numbers: dict[str, Any] = {"steps": plan.steps, "train": len(train), "n": len(test)}
    classifier = trainer.classifier_for(resources, candidate, plan, train, seed)
    if not plan.phases:
        values, _ = trainer.head_features(resources, backbone, candidate, plan)
        numbers["seconds"] = 0.0
        return {name: {**numbers, **_scores(outputs.predict(classifier.head, values[test]), resources.labels[test])}}
    loop = trainer.train_loop(resources, candidate, plan, classifier, train, seed)
    seconds = pause.train(loop)
    if seconds is None:
        return None
    numbers["seconds"] = round(seconds, 1)  # of the steps alone

    def scored(rows: Ints, network: Classifier) -> dict[str, float]:
        return _scores(trainer.score_rows(resources, candidate, plan, network, rows), resources.labels[rows])

    if name != "wise_ft":
        return {name: {**numbers, **scored(test, loop.finish())}}
    alphas = {a: (scored(val, loop.finish({"alpha": a})), scored(test, loop.finish({"alpha": a}))) for a in ALPHAS}
    best = min(ALPHAS, key=lambda a: alphas[a][0]["log_loss"])
    curve = {str(a): {"val": v["accuracy"], "test": t["accuracy"]} for a, (v, t) in alphas.items()}
    return {
        "full": {**numbers, **alphas[1.0][1]},
        "wise_ft": {**numbers, **alphas[best][1], "alpha": best, "alphas": curve},
    }


def _scores(logits_NK: npt.NDArray[np.float32], labels_N: Ints) -> dict[str, float]:
    temperature = classification.fit_temperature(
        logits_NK, labels_N
    )  # of these very images: log-losses compare arms only
    return {
        "accuracy": classification.accuracy(logits_NK, labels_N),
        "log_loss": classification.log_loss(logits_NK / np.float32(temperature), labels_N),
    }


def plan_for(resources: Resources, backbone: Backbone, suite: Suite, arm: Arm, rows: Ints) -> TrainPlan:
    """Return the plan of an arm for these training rows."""
    context = resources.context(backbone, rows, suite.size_px, suite.batch)
    if arm.strategy == "head":
        rate = float(arm.parameters["rate"])
        return TrainPlan(
            phases=(Phase(head_rate=rate),),
            head=Head(kind="linear", start="random"),
            steps=round(suite.epochs * context.steps_per_epoch),
            batch=suite.batch,
            optimizer=OptimizerSpec(name=arm.parameters["optimizer"]),
            schedule=ScheduleSpec(name="constant", warmup=0.0),
            augmentation=Augmentation(level="none"),
        )
    strategy = resources.registry.strategy(arm.strategy)
    names = {p.name for p in getattr(strategy.card, "parameters", ())}
    shared = {k: v for k, v in {"epochs": suite.epochs, "batch": suite.batch}.items() if k in names}
    return strategy.plan({**strategy.first_guesses(context)[arm.guess], **shared, **arm.parameters}, context)


if __name__ == "__main__":
    sys.exit(main())
