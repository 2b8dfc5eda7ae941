"""How well suspicious labels and unfamiliar images are found, on cached features (`benchmarks/insight/features.py`).

    python benchmarks/insight/run.py suspects --features DIR --sets NAME ... --to FILE [--predictions DIR]
    python benchmarks/insight/run.py unlike --features DIR --sets NAME NAME ... --to FILE
    python benchmarks/insight/run.py forecast --folders NAME=FOLDER ... --to FILE [--strategy full] [--epochs 5] [--size 64]

`suspects`: 3, 10 and 20 % of the labels are replaced by another class drawn uniformly, 5 seeds; a logistic head out of 5
folds ranks them. With `--predictions` the probabilities are saved, so that another tool can be asked about the same ones.
`forecast`: with heads on features, or, with `--folders`, with trainings of the network (`trained.py`).
`unlike`: 70 % of a set's images are the training images, its other 30 % and a second set's images are asked about.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from advisor.heads import fitting, outputs
from advisor.insight import forecast, label_next, suspects
from advisor.metrics import novelty
from advisor.records import Head

sys.path.insert(0, str(Path(__file__).parent))
import trained

NOISE, SEEDS = (0.03, 0.10, 0.20), 5
Floats = np.ndarray[Any, Any]


def load(folder: Path, name: str) -> tuple[Floats, Floats]:
    """Read (X, y) of a data set."""
    with np.load(folder / f"{name}.npz") as saved:
        return saved["X"], saved["y"]


def reduced(x: Floats) -> Floats:
    """Standardise and keep 128 components, so that a fold takes a second."""
    z = PCA(128, random_state=0).fit_transform((x - x.mean(0)) / (x.std(0) + 1e-6))
    return np.asarray(z / z.std())


def head() -> LogisticRegression:
    """Return an unfitted logistic head."""
    return LogisticRegression(C=0.02, max_iter=200)


def out_of_fold(x: Floats, labels: Floats, seed: int) -> Floats:
    """Predict every item by a head that was not fitted on it."""
    p = np.zeros((len(labels), int(labels.max()) + 1))
    for rows, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(x, labels):
        p[held] = head().fit(x[rows], labels[rows]).predict_proba(x[held])
    return p


def accuracy(x: Floats, labels: Floats, true: Floats, seed: int) -> float:
    """Score a head that learns from `labels` on the true labels of held-out items."""
    right = 0
    for rows, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(x, true):
        right += int((head().fit(x[rows], labels[rows]).predict(x[held]) == true[held]).sum())
    return right / len(true)


def measure_suspects(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Inject wrong labels and look for them."""
    rows = []
    for name in args.sets:
        x, true = load(args.features, name)
        x, classes = reduced(x), int(true.max()) + 1
        for noise in NOISE:
            for seed in range(SEEDS):
                draw = np.random.default_rng(seed)
                wrong = np.zeros(len(true), dtype=bool)
                wrong[draw.choice(len(true), round(noise * len(true)), replace=False)] = True
                given = np.where(wrong, (true + draw.integers(1, classes, len(true))) % classes, true)
                p, k = out_of_fold(x, given, seed), int(wrong.sum())
                result = suspects.find(p, given)
                fixed = given.copy()
                fixed[result.order[: 2 * k]] = true[result.order[: 2 * k]]
                if args.predictions:
                    np.savez(args.predictions / f"{name}-{noise}-{seed}.npz", p=p, given=given, wrong=wrong)
                rows.append(
                    {
                        "set": name,
                        "noise": noise,
                        "seed": seed,
                        "n": len(true),
                        "precision_at_k": float(wrong[result.order[:k]].mean()),
                        "recall_at_2k": float(wrong[result.order[: 2 * k]].sum() / k),
                        "worth": result.worth,
                        "expected_precision": result.precision,
                        "precision_of_worth": float(wrong[result.order[: result.worth]].mean()) if result.worth else 0,
                        "accuracy_noisy": accuracy(x, given, true, seed),
                        "accuracy_corrected": accuracy(x, fixed, true, seed),
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    return rows


def measure_unlike(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Score images of other sets, and about held-out images of the same one."""
    rows = []
    for inside in args.sets:
        x, _ = load(args.features, inside)
        order = np.random.default_rng(0).permutation(len(x))
        train, held = order[: round(0.7 * len(x))], order[round(0.7 * len(x)) :]
        index = novelty.build(x[train])
        assert index is not None
        p_in = novelty.p_values(index, x[held])
        for outside in args.sets:
            if outside != inside:
                p_out = novelty.p_values(index, load(args.features, outside)[0])
                s_in = -novelty.similarity(index, x[held])
                s_out = -novelty.similarity(index, load(args.features, outside)[0])
                truth = np.r_[np.zeros(len(p_in)), np.ones(len(p_out))]
                rows.append(
                    {
                        "inside": inside,
                        "outside": outside,
                        "auroc": float(roc_auc_score(truth, np.r_[s_in, s_out])),
                        "false_alarms": float((p_in <= 0.05).mean()),
                        "caught": float((p_out <= 0.05).mean()),
                        "n_inside": len(p_in),
                        "n_outside": len(p_out),
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    return rows


def measure_label_next(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Label 20 % of a set, choose 10 % more by `label_next.rank` and at random, and compare the accuracies, 20 seeds."""
    rows = []
    for name in args.sets:
        x, y = load(args.features, name)
        x = reduced(x)
        for seed in range(20):
            order = np.random.default_rng(seed).permutation(len(y))
            test, pool = order[: len(y) // 3], order[len(y) // 3 :]
            first, rest = pool[: len(y) // 10], pool[len(y) // 10 :]
            count = len(y) // 20
            fitted = head().fit(x[first], y[first])
            chosen = rest[label_next.rank(fitted.predict_proba(x[rest]), x[rest], count)]
            scores = {
                "before": fitted.score(x[test], y[test]),
                "ranked": head().fit(x[np.r_[first, chosen]], y[np.r_[first, chosen]]).score(x[test], y[test]),
                "random": head()
                .fit(x[pool[: len(first) + count]], y[pool[: len(first) + count]])
                .score(x[test], y[test]),
            }
            rows.append({"set": name, "seed": seed, "labelled": len(first), "added": count, **scores})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def measure_forecast(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Hold three quarters of a pool back, forecast the accuracy with all of it, and compare, 10 seeds.

    With `--folders` by trainings of the network; else with the head that the product fits: ridge on all features, its
    strength by leave-one-out.
    """
    if args.folders:
        return list(trained.measure(args))
    rows = []
    for name in args.sets:
        x, y = load(args.features, name)
        classes = int(y.max()) + 1

        def right(train: Floats, scored: Floats, x: Floats = x, y: Floats = y, classes: int = classes) -> Floats:
            fitted = fitting.fit(Head(kind="ridge"), x[train], y[train], classes)
            return np.asarray(outputs.predict(fitted, x[scored]).argmax(1) == y[scored], dtype=float)

        for seed in range(10):
            order = np.random.default_rng(seed).permutation(len(y))
            test, pool = order[: len(y) // 4], order[len(y) // 4 :]
            part = pool[: len(pool) // 4]

            def score(fit_rows: Floats, held: Floats, part: Floats = part, right: Any = right) -> Floats:
                return np.asarray(right(part[fit_rows], part[held]))

            curve = forecast.measure(np.unique(y[part], return_inverse=True)[1], score, seed=seed)
            expected = forecast.expect(curve, [len(pool)], seed=seed, items=len(test))[0]
            actual = float(right(pool, test).mean())
            rows.append(
                {
                    "set": name,
                    "seed": seed,
                    "from": int(curve.sizes[-1]),
                    "to": len(pool),
                    "expected": expected.accuracy,
                    "low": expected.low,
                    "high": expected.high,
                    "actual": actual,
                    "inside": bool(expected.low <= actual <= expected.high),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {
        "suspects": measure_suspects,
        "unlike": measure_unlike,
        "label-next": measure_label_next,
        "forecast": measure_forecast,
    }
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--sets", nargs="+", default=[])
    trained.add_options(parser)
    parser.add_argument("--predictions", type=Path, help="folder for the out-of-fold probabilities")
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    rows = kinds[args.kind](args)
    args.to.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
