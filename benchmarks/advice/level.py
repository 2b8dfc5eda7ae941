"""What keeping the untuned default costs or saves: the verdict at several levels, on cached features of small pools.

    python benchmarks/advice/level.py [--runs 40] [--data DIR] [--to DIR]

A run draws a pool and a remainder, scores the heads of honesty.py out of fold, lets `verdict.judge` decide at each level
between them and the default (logistic regression on all stages, its strength cross-validated), and looks what the
chosen head, fitted on the whole pool, is worth on the remainder. Does NOT cover: trained candidates.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import honesty
import ledger
import numpy as np

from advisor import evaluation, heads, metrics, splits, verdict
from advisor.records import Candidate, FoldScore, Head, Trial

LEVELS = (0.0, 0.5, 0.68, 0.8, 0.95)  # 0: the lowest log-loss wins, no default is kept
DEFAULT = Head(kind="logistic", layers="all")


@dataclass(frozen=True)
class Pool:
    """How many images a run searches on, and from which set."""

    case: honesty.Case
    images: int


POOLS = tuple(Pool(honesty.CASES[c], n) for c in (0, 2) for n in (60, 150, 400))


def judged(head: Head, number: int, seen: honesty.Views, pool: np.ndarray, seed: int) -> tuple[Trial, np.ndarray]:
    """Score a head out of fold as a trial is: its calibrated log-loss, by image (pool,)."""
    labels, classes = seen.labels[pool], int(seen.labels.max()) + 1
    folds = splits.folds(labels, None, k=honesty.FOLDS, seed=seed)
    values, blocks = seen.values[head.layers][pool], seen.blocks[head.layers]
    logits = heads.oof(head, values, labels, classes, folds, seed=seed, blocks=blocks)
    logits = logits / np.float32(evaluation.fit_temperature(logits, labels))
    shifted = logits - logits.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]
    score = FoldScore(
        fold=0,
        repeat=0,
        seed=seed,
        n=len(labels),
        accuracy=metrics.accuracy(logits, labels),
        log_loss=float(losses.mean()),
    )
    candidate = Candidate(backbone="mobilenet_v2", strategy=head.kind, parameters={"number": number})
    trial = Trial(number=number, candidate=candidate, regime="feature_extraction", state="complete", scores=(score,))
    return trial, losses.astype(np.float64)


def once(seen: honesty.Views, images: int, seed: int) -> dict[str, float]:
    """Search once and give what each level's choice is worth on the remainder, and the best that was there."""
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(seen.labels))
    pool, rest = np.split(order, [images])
    tried = [DEFAULT, *honesty.candidates()]
    scored = [judged(head, number, seen, pool, seed) for number, head in enumerate(tried)]
    trials, losses = [t for t, _ in scored], {t.number: loss for t, loss in scored}
    costs = dict.fromkeys(losses, 0.0)
    truth = [worth(head, seen, pool, rest, seed) for head in tried]
    found = {"default": truth[0], "best": max(truth)}
    for level in LEVELS:
        leader = min(trials, key=lambda t: t.log_loss).number
        winner = verdict.judge(trials, losses, 0, costs, level=level).winner if level else leader
        found[f"{level:g}"] = truth[winner]
    return found


def worth(head: Head, seen: honesty.Views, pool: np.ndarray, rest: np.ndarray, seed: int) -> float:
    """Fit a head on the whole pool and give its accuracy on the remainder."""
    values, blocks = seen.values[head.layers], seen.blocks[head.layers]
    classes = int(seen.labels.max()) + 1
    fitted = heads.fit(head, values[pool], seen.labels[pool], classes, seed=seed, blocks=blocks)
    return float((heads.predict(fitted, values[rest]).argmax(1) == seen.labels[rest]).mean())


def line(pool: Pool, rows: list[ledger.Row]) -> list[str]:
    """Summarise one pool: what each choice is worth against the default, in points."""
    cells = [pool.case.data, f"{pool.images:,}", str(len(rows)), f"{np.mean([r['default'] for r in rows]):.3f}"]
    for name in (*(f"{level:g}" for level in LEVELS), "best"):
        gap = 100 * np.array([r[name] - r["default"] for r in rows])
        cells.append(f"{gap.mean():+.2f} ± {1.96 * gap.std(ddof=1) / np.sqrt(len(gap)):.2f}")
    return cells


def main() -> None:
    """Do the runs that are missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40, help="of each pool")
    parser.add_argument("--data", type=Path, default=ledger.ROOT / ".scratch" / "data")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "level")
    for pool in POOLS:
        facts = {"data": pool.case.data, "pool": pool.images}
        missing = [seed for seed in range(args.runs) if not book.has(**facts, seed=seed)]
        if missing:
            ledger.unpacked(pool.case.folder.split("/")[0], args.data)
            seen = honesty.views(pool.case, args.data)
            for seed in missing:
                book.add({**facts, "seed": seed, **once(seen, pool.images, seed)})
    done = [(p, [r for r in book.rows if (r["data"], r["pool"]) == (p.case.data, p.images)]) for p in POOLS]
    titles = ["data", "pool", "runs", "default", *(f"level {level:g}" for level in LEVELS), "best of all"]
    ledger.publish("level", ledger.table(titles, [line(p, rows) for p, rows in done if len(rows) > 1]))


if __name__ == "__main__":
    sys.exit(main())
