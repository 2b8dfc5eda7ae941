"""What keeping the untuned default costs or saves: several rules for the verdict, on cached features of small pools.

    python benchmarks/advice/level.py [--runs 12] [--data DIR] [--to DIR]

A run draws a pool and a remainder, scores heads on two networks out of fold, lets every rule decide between them and the
default (logistic regression on all stages of MobileNetV2, its strength cross-validated), and looks what the chosen head,
fitted on the whole pool, is worth on the remainder. Does NOT cover: trained candidates, the number's honesty (honesty.py).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import honesty
import ledger
import numpy as np

from advisor.data import splits
from advisor.heads import fitting, outputs
from advisor.metrics import classification
from advisor.metrics import classification as metrics
from advisor.records import Candidate, FoldScore, Head, Trial
from advisor.selection import verdict

NETWORKS = ("mobilenet_v2", "squeezenet1_1")
# The level of the log-loss's interval, and whether the share of right answers is asked as well; 0 keeps no default.
RULES: dict[str, tuple[float, bool]] = {
    "lowest log-loss": (0.0, False),
    "68 %": (0.68, False),
    "80 %": (0.8, False),
    "80 %, accuracy too": (0.8, True),
    "95 %": (0.95, False),
}
WORSE = 0.005  # of accuracy: a choice that is behind the default by more has done harm


@dataclass(frozen=True)
class Pool:
    """How many images a run searches on, and from which set."""

    case: honesty.Case
    images: int


CASES = (
    honesty.Case(data="CIFAR-10", folder="cifar10/test", images=4000, size_px=64, pool=0, test=0),
    honesty.Case(data="five flowers", folder="five_flowers", images=3600, size_px=96, pool=0, test=0),
    honesty.Case(data="sketches", folder="pacs/sketch", images=3900, size_px=128, pool=0, test=0),
)
POOLS = tuple(Pool(case, n) for case in CASES for n in (60, 150, 400, 1000))


def contenders() -> list[tuple[str, Head]]:
    """List the default, then what is tried against it."""
    tried = [(NETWORKS[0], Head(kind="logistic", layers="all"))]
    for network in NETWORKS:
        for layers in ("last", "all"):
            tried.append((network, Head(kind="ridge", layers=layers)))
            tried.append((network, Head(kind="ridge", layers=layers, numbers={"strength": 0.01})))
            tried.append((network, Head(kind="cosine_prototypes", layers=layers)))
        tried.append((network, Head(kind="logistic", layers="last", numbers={"c": 0.01})))
    tried.append((NETWORKS[1], Head(kind="logistic", layers="all", numbers={"c": 0.01})))
    return tried


def judged(
    head: Head, number: int, seen: honesty.Views, pool: np.ndarray, seed: int
) -> tuple[Trial, np.ndarray, np.ndarray]:
    """Score a head out of fold as a trial is: its calibrated log-loss and its errors, by image, (pool,) each."""
    labels, classes = seen.labels[pool], int(seen.labels.max()) + 1
    folds = splits.folds(labels, None, k=honesty.FOLDS, seed=seed)
    values, blocks = seen.values[head.layers][pool], seen.blocks[head.layers]
    logits = fitting.oof(head, values, labels, classes, folds, seed=seed, blocks=blocks)
    logits = logits / np.float32(classification.fit_temperature(logits, labels))
    losses = metrics.item_log_loss(logits, labels)
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
    return trial, losses, (logits.argmax(1) != labels).astype(np.float64)


def once(seen: dict[str, honesty.Views], images: int, seed: int) -> dict[str, float]:
    """Search once and give what each rule's choice is worth on the remainder, and the best that was there."""
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(seen[NETWORKS[0]].labels))
    pool, rest = np.split(order, [images])
    tried = contenders()
    scored = [judged(head, number, seen[network], pool, seed) for number, (network, head) in enumerate(tried)]
    trials = [trial for trial, _, _ in scored]
    losses, errors = ({t.number: values[k] for t, *values in scored} for k in (0, 1))
    costs = dict.fromkeys(losses, 0.0)
    truth = [worth(head, seen[network], pool, rest, seed) for network, head in tried]
    outcomes = {"default": truth[0], "best of all": max(truth)}
    for name, (level, both) in RULES.items():
        asked = errors if both else None
        decision = verdict.judge(trials, losses, 0, costs, errors=asked, level=level) if level else None
        outcomes[name] = truth[decision.winner if decision else min(trials, key=lambda t: t.log_loss).number]
    return outcomes


def worth(head: Head, seen: honesty.Views, pool: np.ndarray, rest: np.ndarray, seed: int) -> float:
    """Fit a head on the whole pool and give its accuracy on the remainder."""
    values, blocks = seen.values[head.layers], seen.blocks[head.layers]
    classes = int(seen.labels.max()) + 1
    fitted = fitting.fit(head, values[pool], seen.labels[pool], classes, seed=seed, blocks=blocks)
    return float((outputs.predict(fitted, values[rest]).argmax(1) == seen.labels[rest]).mean())


def lines(rows: list[ledger.Row]) -> list[list[str]]:
    """Summarise every pool, and all of them: what each choice is worth against the default, in points."""
    names = [*RULES, "best of all"]
    table_rows = []
    for pool in POOLS:
        own = [r for r in rows if (r["data"], r["pool"]) == (pool.case.data, pool.images)]
        if own:
            gaps = [100 * np.mean([r[name] - r["default"] for r in own]) for name in names]
            start = [pool.case.data, f"{pool.images:,}", str(len(own)), f"{np.mean([r['default'] for r in own]):.3f}"]
            table_rows.append([*start, *(f"{gap:+.2f}" for gap in gaps)])
    if rows:
        everywhere = [[r[name] - r["default"] for r in rows] for name in names]
        table_rows.append(["all", "", str(len(rows)), "", *(f"**{100 * np.mean(gaps):+.2f}**" for gaps in everywhere)])
        harm = [np.mean(np.array(gaps) < -WORSE) for gaps in everywhere]
        table_rows.append(["half a point worse or more", "", "", "", *(f"{100 * share:.0f} %" for share in harm)])
    return table_rows


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=12, help="of each pool")
    parser.add_argument("--data", type=Path, default=ledger.ROOT / ".scratch" / "data")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "level")
    seen: dict[str, dict[str, honesty.Views]] = {}
    for pool in POOLS:
        facts = {"data": pool.case.data, "pool": pool.images}
        for seed in [seed for seed in range(args.runs) if not book.has(**facts, seed=seed)]:
            if pool.case.data not in seen:
                ledger.unpacked(pool.case.folder.split("/")[0], args.data)
                seen = {pool.case.data: {network: honesty.views(pool.case, args.data, network) for network in NETWORKS}}
            book.add({**facts, "seed": seed, **once(seen[pool.case.data], pool.images, seed)})
    ledger.publish("level", ledger.table(["data", "pool", "runs", "default", *RULES, "best of all"], lines(book.rows)))


if __name__ == "__main__":
    sys.exit(main())
