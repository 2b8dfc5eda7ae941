"""Whether the reported number holds on new images: many cheap searches, each with a locked test and a large remainder.

    python benchmarks/advice/honesty.py [--runs 500] [--data DIR] [--to DIR] [--minutes M]

A run draws a pool, a test and a remainder from cached features, scores the heads of `candidates` out of fold on the
pool, refits the one with the lowest log-loss on all of it, and scores the test once. Asked: how often Wilson's 95 %
interval of the test holds the accuracy on the remainder, beside how often it must (exact, binomial); how much the
reported number flatters; and how much the best validation score would have. Does NOT cover: trained candidates.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ledger
import numpy as np

from advisor import registry
from advisor.data import dataset, splits, subsample
from advisor.execution.resources import Resources
from advisor.heads import fitting, outputs
from advisor.metrics import classification, intervals
from advisor.models import features
from advisor.records import Head
from advisor.records.messages import OpenDataset

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is drawn in a run: `pool` images to search on, `test` locked ones; all others of the set are the remainder."""

    data: str
    folder: str
    images: int
    size_px: int
    pool: int
    test: int


CASES = (
    Case(data="CIFAR-10", folder="cifar10/test", images=6000, size_px=64, pool=150, test=100),
    Case(data="CIFAR-10", folder="cifar10/test", images=6000, size_px=64, pool=150, test=400),
    Case(data="five flowers", folder="five_flowers", images=3670, size_px=96, pool=150, test=100),
    Case(data="five flowers", folder="five_flowers", images=3670, size_px=96, pool=150, test=300),
)


def candidates() -> Iterator[Head]:
    """Return the heads that a run chooses from: kinds, strengths and layers as the search draws them."""
    for layers in ("last", "all"):
        for strength in (1e-4, 1e-3, 1e-2, 1e-1):
            yield Head(kind="ridge", layers=layers, numbers={"strength": float(strength)})
        for c in (1e-3, 1e-2, 1e-1):
            yield Head(kind="logistic", layers=layers, numbers={"c": c})
        yield Head(kind="prototypes", layers=layers)
        yield Head(kind="cosine_prototypes", layers=layers)
        for k in (5, 20):
            yield Head(kind="knn", layers=layers, numbers={"k": k})


@dataclass(frozen=True)
class Views:
    """Features (N, D) of one set for both layers, the widths of their blocks, and labels (N,)."""

    values: dict[str, np.ndarray]
    blocks: dict[str, tuple[int, ...]]
    labels: np.ndarray


def views(case: Case, data: Path, network: str = "mobilenet_v2") -> Views:
    """Compute a network's features of a set through the product's own path, or read them from its cache."""
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
        resources = Resources(job, registry.load(), lambda what, done, total: None)
        backbone = resources.registry.backbone(network)
        pooled = resources.pooled(backbone, case.size_px)
    names = [s.name for s in backbone.stages]
    return Views(
        {layers: np.array(features.select(pooled, layers, names)) for layers in ("last", "all")},
        {layers: tuple(features.blocks(pooled, layers)) for layers in ("last", "all")},
        np.array(resources.labels),
    )


def once(case: Case, seen: Views, seed: int) -> dict[str, float]:
    """Search, refit, score: one run, all of it drawn from `seed`."""
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(seen.labels))
    pool, test, rest = np.split(order, [case.pool, case.pool + case.test])
    labels, classes = seen.labels, int(seen.labels.max()) + 1
    folds = splits.folds(labels[pool], None, k=FOLDS, seed=seed)
    scored = []
    for head in candidates():
        own = {"blocks": seen.blocks[head.layers], "seed": seed}
        logits = fitting.oof(head, seen.values[head.layers][pool], labels[pool], classes, folds, **own)
        rows = ~np.isnan(logits).any(axis=1)
        loss = classification.log_loss(logits[rows], labels[pool][rows])
        scored.append((loss, classification.accuracy(logits[rows], labels[pool][rows]), head))
    head = min(scored, key=lambda s: s[0])[2]
    chosen = fitting.fit(
        head, seen.values[head.layers][pool], labels[pool], classes, seed=seed, blocks=seen.blocks[head.layers]
    )
    right = outputs.predict(chosen, seen.values[head.layers]).argmax(1) == labels
    return {
        "test": float(right[test].mean()),
        "remainder": float(right[rest].mean()),
        "remainder_n": len(rest),
        "best_validation": max(s[1] for s in scored),
    }


def exact_coverage(n: int, shares: np.ndarray, m: int | None = None) -> float:
    """Return how often Wilson's interval of `n` images holds the true share, on average over `shares`.

    With `m`, how often it holds the share that `m` other images show, which is what a benchmark can see.
    """
    from scipy.stats import binom

    bounds = np.array([intervals.wilson(k, n) for k in range(n + 1)])
    total = 0.0
    for p in shares:
        weight = binom.pmf(np.arange(n + 1), n, p)
        if m is None:
            inside = (bounds[:, 0] <= p) & (p <= bounds[:, 1])
        else:
            low, high = np.ceil(bounds[:, 0] * m - 1e-9), np.floor(bounds[:, 1] * m + 1e-9)
            inside = binom.cdf(high, m, p) - binom.cdf(low - 1, m, p)
        total += float((weight * inside).sum())
    return total / len(shares)


def held(case: Case, rows: list[ledger.Row]) -> list[bool]:
    """Return for each run whether its interval holds the accuracy on the remainder."""
    bounds = [intervals.wilson(round(r["test"] * case.test), case.test) for r in rows]
    return [low <= r["remainder"] <= high for r, (low, high) in zip(rows, bounds, strict=True)]


def flattery(rows: list[ledger.Row], score: str) -> str:
    """Write by how many points a score lies above the remainder on average, with the 95 % interval of that mean."""
    gap = np.array([r[score] - r["remainder"] for r in rows])
    return f"{100 * gap.mean():+.2f} ± {196 * gap.std(ddof=1) / np.sqrt(len(gap)):.2f}"


def share(hits: list[bool]) -> str:
    """Write a share in percent with its interval."""
    low, high = intervals.wilson(sum(hits), len(hits))
    return f"{100 * np.mean(hits):.1f} ({100 * low:.1f}-{100 * high:.1f})"


def line(case: Case, rows: list[ledger.Row]) -> list[str]:
    """Summarise one case as a line of the table."""
    rest = np.array([r["remainder"] for r in rows])
    m = int(rows[0]["remainder_n"])
    return [
        case.data,
        str(len(rows)),
        str(case.pool),
        str(case.test),
        f"{m:,}",
        f"{rest.mean():.3f}",
        share(held(case, rows)),
        f"{100 * exact_coverage(case.test, rest, m):.1f}",
        f"{100 * exact_coverage(case.test, rest):.1f}",
        flattery(rows, "test"),
        flattery(rows, "best_validation"),
    ]


def together(done: list[tuple[Case, list[ledger.Row]]]) -> str:
    """Return in a sentence what all cases show."""
    rows = [r for _, mine in done for r in mine]
    hits = [h for case, mine in done for h in held(case, mine)]
    must = sum(
        len(mine) * exact_coverage(case.test, np.array([r["remainder"] for r in mine]), int(mine[0]["remainder_n"]))
        for case, mine in done
    )
    return (
        f"All {len(rows)} runs together: {share(hits)} % of the intervals hold the remainder's accuracy, "
        f"{100 * must / len(rows):.1f} % is required. The reported number flatters by {flattery(rows, 'test')} points, "
        f"the best validation score by {flattery(rows, 'best_validation')}."
    )


TITLES = (
    "data",
    "runs",
    "pool",
    "test n",
    "remainder",
    "accuracy there",
    "intervals that hold it, %",
    "must hold it, %",
    "must hold the truth, %",
    "reported minus remainder, points",
    "best of validation minus remainder, points",
)


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500, help="of all cases together")
    ledger.add_options(parser)
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "honesty")
    cases = [({"case": number}, case) for number, case in enumerate(CASES)]
    book.fill(args, cases, -(-args.runs // len(CASES)), views, lambda case, seen, seed: [once(case, seen, seed)])
    done = [(case, [r for r in book.rows if r["case"] == number]) for number, case in enumerate(CASES)]
    done = [(case, rows) for case, rows in done if len(rows) > 1]
    heads_tried = len(list(candidates()))
    summary = f"\n{together(done)} {heads_tried} heads a run, seeds from 0, MobileNetV2 features; {ledger.machine()}.\n"
    ledger.publish("honesty", ledger.table(TITLES, [line(case, rows) for case, rows in done]) + summary)


if __name__ == "__main__":
    sys.exit(main())
