"""How often the interval of a forecast from trainings holds the accuracy that a training on four times the images reaches.

Called by `run.py forecast --folders NAME=FOLDER ...`. Of each repeat's images a part is the pool of a run, three times as
many more are held back; the candidate is trained and scored on the pool's folds as a search does, then on parts of them
(`execution.insight.trained_curve`). The truth is the same candidate trained on everything but the test images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from advisor import registry
from advisor.data import dataset
from advisor.execution import timing, trainer, trial
from advisor.execution.insight import learning_curve, trained_curve
from advisor.execution.resources import Resources
from advisor.records import Candidate, Dataset, Forecast, Item
from advisor.records.insight_messages import MeasureLearningCurve, MeasureTrainedCurve
from advisor.records.messages import OpenDataset, Progress, RunTrial
from advisor.registry import Registry

FOLDS = (0, 1, 2, 3, 4)
TIMES = 4  # the pool, beside what is held back


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this measurement."""
    parser.add_argument("--folders", nargs="+", metavar="NAME=FOLDER", help="data sets on which the network is trained")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=225, help="of the pool; four times as many are the truth's")
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--strategy", default="full")
    parser.add_argument("--epochs", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=64)


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Iterate over the sets of each repeat; rows are printed as they come, so that what was measured survives a kill."""
    plugins, folders = registry.load(), dict(spec.split("=", 1) for spec in args.folders)
    sets = {name: dataset.read(folder, test_split="none") for name, folder in folders.items()}
    needed = TIMES * args.images + args.test
    for name, data in sets.items():
        if len(data.items) < needed:
            raise SystemExit(f"{name} has {len(data.items):,} images; these numbers need {needed:,}")
    for seed in range(args.first_seed, args.first_seed + args.repeats):
        for name, data in sets.items():
            row = {"set": name, "seed": seed, **_repeat(args, plugins, data, seed)}
            print(json.dumps(row), flush=True)
            yield row


def _repeat(args: argparse.Namespace, plugins: Registry, data: Dataset, seed: int) -> dict[str, Any]:
    begun = time.monotonic()
    order = np.random.default_rng(seed).permutation(len(data.items)).tolist()
    held = TIMES * args.images
    pool = [data.items[i] for i in order[: args.images]]
    more = [data.items[i] for i in order[args.images : held]]
    test = [data.items[i] for i in order[held : held + args.test]]
    candidate = Candidate(
        backbone=args.backbone, strategy=args.strategy, parameters={"epochs": args.epochs}, size_px=args.size
    )
    with tempfile.TemporaryDirectory() as run:
        (Path(run) / "trials").mkdir()
        resources = opened(plugins, data, pool, run, seed)
        trained, heads = _forecasts(resources, candidate, seed)
    whole = opened(plugins, data, [*pool, *more, *test], "", seed)
    actual = _accuracy(whole, candidate, np.arange(held), np.arange(held, held + len(test)), seed)
    head = replace(candidate, strategy="ridge", parameters={"layers": "last"})
    actual_head = _accuracy(whole, head, np.arange(held), np.arange(held, held + len(test)), seed)
    return {
        "strategy": args.strategy,
        "epochs": args.epochs,
        "from": args.images,
        "to": held,
        "test": len(test),
        **_compared(trained, actual),
        "heads": _compared(heads, actual),
        "heads_of_heads": _compared(heads, actual_head),
        "measured": [at.accuracy for at in trained.measured],
        "seconds": round(time.monotonic() - begun, 1),
    }


def _forecasts(resources: Resources, candidate: Candidate, seed: int) -> tuple[Forecast, Forecast]:
    """Return the forecast from trainings of the candidate, and the one from heads."""
    asked = RunTrial(number=0, candidate=candidate, folds=FOLDS, repeat=0, seed=seed, started_s=0.0)
    done = trial.run(resources, asked, _quiet)
    if done.state != "complete":
        raise SystemExit(f"the candidate could not be trained: {done.error}")
    job = MeasureTrainedCurve(candidate=candidate, seed=seed, folds=FOLDS, predictions=done.predictions)
    trained = trained_curve.measure(resources, job, _quiet).forecast
    head = replace(candidate, strategy="ridge", parameters={"layers": "last"})
    measured = learning_curve.measure(resources, MeasureLearningCurve(candidate=head, seed=seed))
    if trained is None or measured.forecast is None:
        raise SystemExit(f"no forecast: {measured.reason}")
    return trained, measured.forecast


def opened(plugins: Registry, data: Dataset, items: list[Item], run_dir: str, seed: int) -> Resources:
    """Open these images as a worker does, on one thread."""
    job = OpenDataset(
        root=data.root,
        classes=data.classes,
        items=tuple(items),
        folds=len(FOLDS),
        seed=seed,
        device="cpu",
        run_dir=run_dir,
        offline=True,
        threads=1,
    )
    return Resources(job, plugins, lambda what, done, total: None)


def _accuracy(
    resources: Resources,
    candidate: Candidate,
    rows: np.ndarray[Any, Any],
    test: np.ndarray[Any, Any],
    seed: int,
) -> float:
    """Train on `rows` and return the accuracy on `test`."""
    plan = resources.plan(candidate, rows)
    classifier = trainer.classifier_for(resources, candidate, plan, rows, seed)
    if plan.phases:
        loop = trainer.train_loop(resources, candidate, plan, classifier, rows, seed)
        timing.steps_until(loop, plan.steps, None, _quiet)
        loop.finish()
    logits = trainer.score_rows(resources, candidate, plan, classifier, test)
    return float((logits.argmax(axis=1) == resources.labels[test]).mean())


def _compared(forecast: Forecast, actual: float) -> dict[str, Any]:
    """Compare the forecast for four times the images with the truth."""
    at = forecast.expected[-1]
    low, high = at.ci95
    return {
        "expected": at.accuracy,
        "low": low,
        "high": high,
        "actual": actual,
        "inside": bool(low <= actual <= high),
    }


def _quiet(progress: Progress) -> None:
    """Show nothing."""
