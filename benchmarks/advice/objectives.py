"""Whether the 95 % interval of every objective holds its value on new images: many cheap searches, each with a locked test.

    python benchmarks/advice/objectives.py [--runs 300] [--data DIR] [--to DIR] [--minutes M]

A run draws a pool, a test and a remainder from cached features, scores heads out of fold on the pool, refits for every
objective the head that is best by it, chooses the decision rule out of fold, and scores the test once. Asked: how often
the interval holds the value on the remainder, which is itself a sample. Data sets: as they are; with classes 10 : 1 from
the most frequent to the rarest; and with groups of two, an image and its mirror image. Does NOT cover: trained candidates.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import honesty
import ledger
import numpy as np

from advisor import registry
from advisor.data import dataset, splits, subsample
from advisor.execution.resources import Resources
from advisor.heads import fitting, outputs
from advisor.metrics import classification, intervals, objectives
from advisor.metrics.objectives import held_out
from advisor.models import features
from advisor.records.messages import OpenDataset
from advisor.records.objective import OBJECTIVES, ObjectiveSpec

FOLDS = 5
FEWEST_RUNS = 10  # of a case, before it is a line of the table


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is drawn in a run. `ratio` is the largest class over the smallest, `groups` of two are images and mirrors."""

    name: str
    folder: str
    images: int
    size_px: int
    pool: int
    test: int
    ratio: float = 1.0
    groups: bool = False


CASES = (
    Case(name="ants and bees", folder="hymenoptera", images=398, size_px=96, pool=100, test=100),
    Case(name="five flowers", folder="five_flowers", images=3670, size_px=96, pool=150, test=150),
    Case(name="five flowers, 10 : 1", folder="five_flowers", images=3670, size_px=96, pool=150, test=200, ratio=10.0),
    Case(name="five flowers, groups", folder="five_flowers", images=3670, size_px=96, pool=100, test=150, groups=True),
    Case(name="CIFAR-10", folder="cifar10/test", images=6000, size_px=64, pool=200, test=300),
)


@dataclass(frozen=True)
class Features:
    """Features (N, D) of the last stage, labels (N,) and groups (N,)."""

    values: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def load(case: Case, data: Path) -> Features:
    """Compute MobileNetV2's features of a set through the product's own path, or read them from its cache."""
    data_set = dataset.read(data / case.folder, test_split="none")
    items = subsample.stratified(data_set.items, case.images)
    with tempfile.TemporaryDirectory() as folder:
        job = OpenDataset(
            root=data_set.root,
            classes=data_set.classes,
            items=items,
            folds=FOLDS,
            seed=0,
            device="cpu",
            run_dir=folder,
            offline=True,
            threads=1,
        )
        resources = Resources(job, registry.load(), lambda *progress: None)
        backbone = resources.registry.backbone("mobilenet_v2")
        names = [s.name for s in backbone.stages]
        views = [resources.pooled(backbone, case.size_px)]
        if case.groups:
            views.append(resources.pooled(backbone, case.size_px, flip=True))
        values = [np.array(features.select(view, "last", names)) for view in views]
    labels = np.array(resources.labels)
    return Features(np.concatenate(values), np.tile(labels, len(values)), np.tile(np.arange(len(labels)), len(values)))


def drawn(case: Case, seen: Features, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw pool, test and remainder as rows: whole groups, and classes at the case's ratio, each from `seed`."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    units = rng.permutation(np.unique(seen.groups))
    labels = seen.labels[: len(units)][units]
    if case.ratio > 1:
        classes = int(labels.max()) + 1
        shares = np.geomspace(1.0, 1.0 / case.ratio, classes)
        counts = np.bincount(labels, minlength=classes)
        keep = np.floor(shares * (counts / shares).min()).astype(int)
        chosen = np.concatenate([np.flatnonzero(labels == k)[: keep[k]] for k in range(classes)])
        units = rng.permutation(
            units[chosen]
        )  # a rare class is the first of its own: in all parts, not in the first one
    parts = np.split(units, [case.pool, case.pool + case.test])
    return tuple(np.flatnonzero(np.isin(seen.groups, part)) for part in parts)  # type: ignore[return-value]


def once(case: Case, seen: Features, seed: int) -> list[dict[str, float | str]]:
    """Search, refit, score, for every objective: one run, all of it drawn from `seed`."""
    pool, test, rest = drawn(case, seen, seed)
    classes = int(seen.labels.max()) + 1
    labels, groups = seen.labels[pool], seen.groups[pool] if case.groups else None
    folds = splits.folds(labels, groups, k=FOLDS, seed=seed)
    tried = []
    for head in honesty.candidates():
        if head.layers == "last":
            logits = fitting.oof(head, seen.values[pool], labels, classes, folds, seed=seed)
            rows = ~np.isnan(logits).any(axis=1)
            tried.append((head, logits[rows], labels[rows], classification.fit_temperature(logits[rows], labels[rows])))
    costs = tuple(tuple(0.0 if i == j else 1.0 + 4.0 * (i == 0) for j in range(classes)) for i in range(classes))
    outcomes = []
    for name in OBJECTIVES:
        spec = ObjectiveSpec(name=name, costs=costs if name == "cost" else ())
        losses = [held_out.image_losses(spec, z, y, t).mean() for _, z, y, t in tried]
        head, logits, own, temperature = tried[int(np.argmin(losses))]
        rule = held_out.rule(spec, logits, own, temperature)
        fitted = fitting.fit(head, seen.values[pool], labels, classes, seed=seed)
        shares = classification.probabilities(outputs.predict(fitted, seen.values), temperature=temperature)
        objective = objectives.make(spec)
        test_groups = seen.groups[test] if case.groups else None
        score = objectives.score(objective, shares[test], seen.labels[test], rule, groups=test_groups)
        truth = objectives.value(objective, shares[rest], seen.labels[rest], rule)
        if score.value is None or score.ci95 is None or truth is None:
            continue
        low, high = score.ci95
        outcomes.append(
            {"objective": name, "value": score.value, "low": low, "high": high, "truth": truth, "note": score.note}
        )
    return outcomes


def lines(case: Case, rows: list[ledger.Row]) -> list[list[str]]:
    """Summarise one case: a line for every objective."""
    table = []
    for name in OBJECTIVES:
        own = [r for r in rows if r["objective"] == name]
        if len(own) >= FEWEST_RUNS:
            hits = [r["low"] <= r["truth"] <= r["high"] for r in own]
            low, high = intervals.wilson(sum(hits), len(hits))
            table.append(
                [
                    case.name,
                    name,
                    str(len(own)),
                    str(case.test * (2 if case.groups else 1)),
                    f"{np.mean([r['truth'] for r in own]):.3f}",
                    f"{np.mean([r['value'] for r in own]):.3f}",
                    f"{np.mean([r['high'] - r['low'] for r in own]):.3f}",
                    f"{100 * np.mean(hits):.1f} ({100 * low:.1f}-{100 * high:.1f})",
                ]
            )
    return table


TITLES = (
    "data",
    "objective",
    "runs",
    "test n",
    "on the remainder",
    "on the test",
    "mean width",
    "intervals that hold, %",
)


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300, help="of all cases together")
    ledger.add_options(parser)
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "objectives")
    cases = [({"case": number}, case) for number, case in enumerate(CASES)]
    book.fill(args, cases, -(-args.runs // len(CASES)), load, once)
    body = []
    for number, case in enumerate(CASES):
        body += lines(case, [r for r in book.rows if r["case"] == number])
    text = ledger.table(TITLES, body) + f"\nSeeds from 0, MobileNetV2 features; {ledger.machine()}.\n"
    ledger.publish("objectives", text, ledger.ROOT / "docs" / "objective.md")


if __name__ == "__main__":
    sys.exit(main())
