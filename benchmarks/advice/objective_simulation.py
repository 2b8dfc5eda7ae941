"""Coverage of the objectives' 95 % intervals where the truth is known: drawn tests from large simulated populations.

    python benchmarks/advice/objective_simulation.py [--runs 300]

A population of 20,000 images has normal logits (in the grouped ones, five images of a group share half of their variance)
and calibrated probabilities; tests are drawn from it, and the interval is asked for the population's value. Costs are squared
distances of class numbers, five times as high for the first class.
"""

from __future__ import annotations

import argparse
import sys

import ledger
import numpy as np

from advisor.metrics import objectives
from advisor.records.objective import OBJECTIVES, ObjectiveSpec

POPULATION, TOGETHER = 20_000, 5
# classes' frequencies, separation of the classes, test images, groups
CASES = (
    ((1, 1), 1.5, 100, False),
    ((1, 1), 3.0, 100, False),
    ((9, 1), 2.0, 200, False),
    ((1, 1, 1, 1, 1), 2.0, 200, False),
    (tuple(np.geomspace(10, 1, 10)), 3.0, 300, False),
    ((1, 1, 1, 1, 1), 2.0, 300, True),
    ((1, 1), 2.0, 150, True),
)


def population(prior: np.ndarray, separation: float, grouped: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return probabilities (N, K), labels (N,) and groups (N,) or None."""
    rng, classes = np.random.default_rng(0), len(prior)
    if grouped:
        labels = np.repeat(rng.choice(classes, POPULATION // TOGETHER, p=prior), TOGETHER)
        shared = np.repeat(rng.normal(size=(POPULATION // TOGETHER, classes)), TOGETHER, axis=0)
        logits = 0.5**0.5 * (shared + rng.normal(size=(POPULATION, classes)))
    else:
        labels = rng.choice(classes, POPULATION, p=prior)
        logits = rng.normal(size=(POPULATION, classes))
    logits[np.arange(POPULATION), labels] += separation
    logits = separation * logits + np.log(prior)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    groups = np.repeat(np.arange(POPULATION // TOGETHER), TOGETHER) if grouped else None
    return shares / shares.sum(1, keepdims=True), labels, groups


def rows_of(seed: int, n: int, grouped: bool) -> np.ndarray:
    """Draw the rows of a test: images, or whole groups."""
    rng = np.random.default_rng(1000 + seed)
    if not grouped:
        return rng.choice(POPULATION, n, replace=False)
    first = TOGETHER * rng.choice(POPULATION // TOGETHER, n // TOGETHER, replace=False)
    return (first[:, None] + np.arange(TOGETHER)).ravel()


def coverage(case: tuple, runs: int) -> list[str]:
    """Return a line of the table: the value of each objective and how often its interval holds it."""
    weights, separation, n, grouped = case
    prior = np.asarray(weights, dtype=float) / sum(weights)
    shares, labels, groups = population(prior, separation, grouped)
    classes = len(prior)
    costs = np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2.0
    costs[0] *= 5
    cells = [f"{classes}, {prior.max() / prior.min():.0f} : 1{', groups' if grouped else ''}", str(n)]
    for name in OBJECTIVES:
        table = tuple(tuple(float(v) for v in row) for row in costs) if name == "cost" else ()
        objective = objectives.make(ObjectiveSpec(name=name, costs=table))
        rule = objective.rule(shares, labels)
        truth = objectives.value(objective, shares, labels, rule)
        hits = []
        for seed in range(runs):
            rows = rows_of(seed, n, grouped)
            score = objectives.score(
                objective, shares[rows], labels[rows], rule, groups=None if groups is None else groups[rows]
            )
            if score.ci95 is not None and len(np.unique(labels[rows])) == classes:
                hits.append(score.ci95[0] <= truth <= score.ci95[1])
        cells.append(f"{truth:.3f}: {100 * np.mean(hits):.1f}")
    return cells


def main() -> None:
    """Simulate all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    text = ledger.table(("classes", "test n", *OBJECTIVES), [coverage(case, runs) for case in CASES])
    note = f"\nThe value in the population, and the share of {runs} intervals that hold it, in percent.\n"
    ledger.publish("objective_simulation", text + note, ledger.ROOT / "docs" / "objective.md")


if __name__ == "__main__":
    sys.exit(main())
