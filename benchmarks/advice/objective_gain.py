"""Whether searching for an objective helps where classes are imbalanced: paired against a search by the log-loss.

    python benchmarks/advice/objective_gain.py [--seeds 5] [--data DIR] [--to DIR] [--minutes M]

A run draws a pool in which the classes fall off geometrically, 10 : 1 or 100 : 1 from the most frequent to the rarest, scores
heads on cached features out of fold, and refits the chosen one. Arms: the head with the lowest log-loss and the most
probable class; the same head with the decision rule that the objective chooses out of fold; the search by the objective
among the same heads; and the search that may weight classes as well. All images outside of the pool are the evaluation
set, weighted so that the classes have the pool's shares: so a rare class is measured on as many images as the others.
Does NOT cover: trained candidates, intervals of one run (`objectives.py`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace

import ledger
import numpy as np
import objectives as coverage
from scipy import stats

from advisor.data import splits
from advisor.heads import fitting, outputs
from advisor.metrics import classification
from advisor.metrics.decision_rule import MOST_PROBABLE, decide
from advisor.metrics.objectives import held_out
from advisor.records import Head
from advisor.records.objective import DecisionRule, ObjectiveSpec

FOLDS = 5
NAMES = ("macro_f1", "balanced_accuracy")
ARMS = ("decision rule", "search", "search, class weights")
SETS = (
    coverage.Case(name="five flowers", folder="five_flowers", images=3670, size_px=96, pool=200, test=0),
    coverage.Case(name="CIFAR-10", folder="cifar10/test", images=6000, size_px=64, pool=200, test=0),
    coverage.Case(name="sketches", folder="pacs/sketch", images=3929, size_px=96, pool=200, test=0),
)
CASES = tuple(replace(case, ratio=ratio) for case in SETS for ratio in (10.0, 100.0))


@dataclass(frozen=True)
class Scored:
    """A head with its class weights, its out-of-fold logits, and their temperature."""

    head: Head
    weights: str
    logits: np.ndarray
    labels: np.ndarray
    temperature: float


def heads() -> list[Head]:
    """Return the heads that a run chooses from; the strength of ridge is chosen by leave-one-out."""
    logistic = [Head(kind="logistic", numbers={"c": c}) for c in (1e-3, 1e-2, 1e-1)]
    return [Head(kind="ridge"), *logistic]


def drawn(case: coverage.Case, labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw the rows of a pool: `case.pool` images of one class, then geometrically fewer; which class is rare, `seed` draws.

    At least half of each class is left for the evaluation.
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    there = np.bincount(labels)
    counts = np.rint(case.pool * np.geomspace(1.0, 1.0 / case.ratio, len(there))).astype(int)
    order = rng.permutation(len(there))
    while (counts > there[order] / 2).any():
        order = rng.permutation(len(there))
    return np.concatenate(
        [rng.permutation(np.flatnonzero(labels == k))[:count] for k, count in zip(order, counts, strict=True)]
    )


def evaluate(decided: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Return macro F1 and balanced accuracy where the classes have these shares."""
    classes = len(shares)
    table = np.zeros((classes, classes))
    np.add.at(table, (labels, decided), 1.0)
    recall = table / table.sum(1, keepdims=True)
    mass = recall * shares[:, None]
    f1 = 2 * np.diag(mass) / (mass.sum(1) + mass.sum(0))
    return {"macro_f1": float(f1.mean()), "balanced_accuracy": float(np.diag(recall).mean())}


def once(case: coverage.Case, seen: coverage.Features, seed: int) -> dict[str, float]:
    """Search by each score, refit, evaluate: one run, all of it drawn from `seed`."""
    pool = drawn(case, seen.labels, seed)
    rest = np.setdiff1d(np.arange(len(seen.labels)), pool)
    labels, classes = seen.labels[pool], int(seen.labels.max()) + 1
    shares = np.bincount(labels, minlength=classes) / len(labels)
    folds = splits.folds(labels, None, k=FOLDS, seed=seed)
    tried = []
    for weights in ("none", "balanced"):
        for head in heads():
            logits = fitting.oof(head, seen.values[pool], labels, classes, folds, seed=seed, class_weights=weights)
            rows = ~np.isnan(logits).any(axis=1)
            temperature = classification.fit_temperature(logits[rows], labels[rows])
            tried.append(Scored(head, weights, logits[rows], labels[rows], temperature))
    unweighted = [t for t in tried if t.weights == "none"]

    def score(chosen: Scored, rule: DecisionRule) -> dict[str, float]:
        fitted = fitting.fit(chosen.head, seen.values[pool], labels, classes, seed=seed, class_weights=chosen.weights)
        logits = outputs.predict(fitted, seen.values[rest])
        probabilities = classification.probabilities(logits, temperature=chosen.temperature)
        return evaluate(decide(probabilities, rule), seen.labels[rest], shares)

    def best(spec: ObjectiveSpec, among: list[Scored]) -> Scored:
        return min(among, key=lambda t: held_out.image_losses(spec, t.logits, t.labels, t.temperature).mean())

    plain = best(ObjectiveSpec(), unweighted)
    row = {f"{name}, log_loss": value for name, value in score(plain, MOST_PROBABLE).items()}
    for name in NAMES:
        spec = ObjectiveSpec(name=name)
        for arm, chosen in zip(ARMS, (plain, best(spec, unweighted), best(spec, tried)), strict=True):
            rule = held_out.rule(spec, chosen.logits, chosen.labels, chosen.temperature)
            row[f"{name}, {arm}"] = score(chosen, rule)[name]
    return row


def lines(case: coverage.Case, rows: list[ledger.Row]) -> list[list[str]]:
    """Return a line for each objective: the score after a search by log-loss, and what each arm adds, in points."""
    body = []
    for name in NAMES if rows else ():
        before = np.array([row[f"{name}, log_loss"] for row in rows])
        cells = [f"{case.name}, {case.ratio:.0f} : 1", name, str(len(rows)), f"{100 * before.mean():.1f}"]
        for arm in ARMS:
            gain = 100 * (np.array([row[f"{name}, {arm}"] for row in rows]) - before)
            cell = f"{gain.mean():+.1f}"
            if len(gain) > 1:
                reach = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
                cell += f" ({gain.mean() - reach:+.1f} to {gain.mean() + reach:+.1f})"
            cells.append(cell)
        body.append(cells)
    return body


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    ledger.add_options(parser)
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "objective_gain")
    cases = [({"data": case.name, "ratio": case.ratio}, case) for case in CASES]
    book.fill(args, cases, args.seeds, coverage.load, lambda case, seen, seed: [once(case, seen, seed)])
    body = []
    for case in CASES:
        body += lines(case, [r for r in book.rows if r["data"] == case.name and r["ratio"] == case.ratio])
    titles = ("data", "score", "seeds", "by log-loss, %", *(f"{arm}, points" for arm in ARMS))
    text = ledger.table(titles, body) + f"\nSeeds from 0, MobileNetV2 features; {ledger.machine()}.\n"
    ledger.publish("objective_gain", text, ledger.ROOT / "docs" / "objective.md")


if __name__ == "__main__":
    sys.exit(main())
