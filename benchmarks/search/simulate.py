"""Replay search policies on the recorded curves: regret and anytime curves at five speeds, data sets left out one at a time.

    python benchmarks/search/simulate.py [--seeds 17] [--policy NAME ...] [--curves FILE] [--to DIR] [--table]

In: curves.jsonl. Out: search.json, a row for each policy, speed and cell of the table, from which a later call goes on; the
tables of docs/search.md. What a policy knows was fitted without the data set that it searches. Regret is the log-loss of the
chosen training on the cell's test images over that of the best one there; a seed draws anew which images are the test.
Does NOT cover: real searches (../advice/regret.py).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "curves"), str(HERE.parent / "advice")]
import fit  # noqa: E402 (the two folders beside this one are scripts, not packages)
import ledger  # noqa: E402
import policies  # noqa: E402
import product  # noqa: E402
import table  # noqa: E402
import world  # noqa: E402
from acquisition import CostAwareImprovement, Policy  # noqa: E402

SPEEDS = (1, 4, 16, 64, 200)
MOMENTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # shares of the budget
PAGE = ledger.ROOT / "docs" / "search.md"
PRODUCT, JUDGED = "product", "product, verdict"
Make = Callable[[str, int], Policy]  # data set left out, seed


def makers(rows: Sequence[table.Row]) -> dict[str, Make]:
    """Return how each policy is made for a run."""

    @cache
    def predictor(family: str) -> fit.Predictor:
        return fit.fit(rows, without=family)

    return {
        PRODUCT: lambda family, seed: policies.RandomSearch(),  # decides for itself (product.py)
        JUDGED: lambda family, seed: policies.RandomSearch(),  # the same
        "improvement": lambda family, seed: CostAwareImprovement(predictor(family), sliced=False),
        "random": lambda family, seed: policies.RandomSearch(),
        "everything": lambda family, seed: policies.RandomSearch(),  # with time for all: what noise alone costs
        "improvement, slices": lambda family, seed: CostAwareImprovement(predictor(family)),
        "tpe, halving": lambda family, seed: policies.HalvingTpe("halving", seed),
        "tpe, hyperband": lambda family, seed: policies.HalvingTpe("hyperband", seed),
    }


def measure(name: str, make: Make, rows: Sequence[table.Row], speed: float, seeds: int) -> ledger.Row:
    """Run one policy on one cell at one speed with so many seeds, and return its row."""
    regrets, used, trained, curves = [], [], [], []
    family = fit.family(rows[0].cell)
    for seed in range(seeds):
        budget_s = world.BUDGET_S if name != "everything" else 1e9
        if name in (PRODUCT, JUDGED):
            empty = world.World(rows, speed, seed, budget_s, probes=False)
            done = product.search(empty, judged=name == JUDGED).world
        else:
            done = world.search(world.World(rows, speed, seed, budget_s), make(family, seed))
        regrets.append(done.regret())
        used.append(done.used_s / world.BUDGET_S)
        trained.append(sum(s.final is not None and r.steps > 0 for s, r in zip(done.states, done.rows, strict=True)))
        curves.append([done.at(m * world.BUDGET_S) for m in MOMENTS])
    log_loss, accuracy = np.array(regrets).T
    return {
        "policy": name,
        "speed": speed,
        "data": rows[0].data,
        "pool": rows[0].pool,
        "recorded": len(rows),
        "seeds": seeds,
        "log_loss": [round(float(v), 5) for v in log_loss],
        "accuracy": [round(float(v), 5) for v in accuracy],
        "used": round(float(np.mean(used)), 4),
        "trained": round(float(np.mean(trained)), 3),
        "curve": [round(float(v), 5) for v in np.mean(curves, 0)],
    }


def interval(values: Sequence[float], generator: np.random.Generator) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval by the bootstrap."""
    own = np.asarray(values)
    means = own[generator.integers(0, len(own), (1000, len(own)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(own.mean()), float(low), float(high)


def complete(rows: Sequence[ledger.Row]) -> list[str]:
    """Name the policies that were replayed on every cell at every speed."""
    counts = Counter(r["policy"] for r in rows)
    return [name for name in counts if counts[name] == max(counts.values())]


def regrets(rows: Sequence[ledger.Row]) -> str:
    """Write the table of regret in log-loss by policy and speed, with intervals over seeds and cells."""
    generator = np.random.default_rng(0)
    lines = []
    for name in complete(rows):
        cells = [f"{name} ({sum(r['seeds'] for r in rows if r['policy'] == name) // len(SPEEDS)} runs)"]
        for speed in SPEEDS:
            own = [r for r in rows if r["policy"] == name and r["speed"] == speed]
            mean, low, high = interval([v for r in own for v in r["log_loss"]], generator)
            points = 100 * np.mean([v for r in own for v in r["accuracy"]])
            used, trained = (float(np.mean([r[k] for r in own])) for k in ("used", "trained"))
            cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f}); {points:.1f}; {100 * used:.0f} %; {trained:.1f}")
        lines.append(cells)
    return ledger.table(["policy", *(f"speed {s}" for s in SPEEDS)], lines)


def differences(rows: Sequence[ledger.Row], reference: str = PRODUCT) -> str:
    """Write by how much each policy's regret differs from the reference's, paired by cell and common seeds."""
    generator = np.random.default_rng(0)
    named = {(r["policy"], r["speed"], r["data"], r["pool"]): r["log_loss"] for r in rows}
    lines = []
    for name in complete(rows):
        cells = [name]
        for speed in SPEEDS:
            pairs = [(v, named[reference, *k[1:]]) for k, v in named.items() if k[:2] == (name, speed)]
            apart = [a - b for own, other in pairs for a, b in zip(own, other, strict=False)]
            mean, low, high = interval(apart, generator)
            cells.append(f"{mean:+.4f} ({low:+.4f} to {high:+.4f})")
        lines.append(cells)
    return ledger.table([f"regret minus {reference}'s", *(f"speed {s}" for s in SPEEDS)], lines)


def anytime(rows: Sequence[ledger.Row], speed: float) -> str:
    """Write the mean regret in log-loss after each tenth of the budget, at one speed."""
    lines = []
    for name in complete(rows):
        own = [r["curve"] for r in rows if r["policy"] == name and r["speed"] == speed]
        if name != "everything":
            lines.append([name, *(f"{v:.3f}" for v in np.mean(own, 0))])
    return ledger.table([f"speed {speed:g}", *(f"{100 * m:.0f} %" for m in MOMENTS)], lines)


def main() -> int:
    """Replay what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, default=table.RECORDED)
    parser.add_argument("--seeds", type=int, default=17, help="of each policy, speed and cell")
    parser.add_argument("--policy", action="append", help="one of them (repeatable)")
    parser.add_argument(
        "--first", type=int, help="of the recorded rows: those that an earlier call knew (default: all)"
    )
    parser.add_argument("--least", type=int, default=10, help="trainings that a cell must have")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--table", action="store_true", help="only write the tables of what is there")
    args = parser.parse_args()
    rows = table.read(args.curves)[: args.first]
    book = ledger.Ledger(args.to, "search")
    cells = {c: own for c, own in table.cells(rows).items() if sum(r.steps > 0 for r in own) >= args.least}
    for name, make in makers(rows).items():
        for speed in SPEEDS if not args.table and (not args.policy or name in args.policy) else ():
            for (data, pool), own in cells.items():
                if not book.has(policy=name, speed=speed, data=data, pool=pool):
                    book.add(measure(name, make, own, speed, args.seeds))
    ledger.publish("regret", regrets(book.rows), PAGE)
    ledger.publish("differences", differences(book.rows), PAGE)
    for speed in (1, 4, 64):
        ledger.publish(f"anytime {speed}", anytime(book.rows, speed), PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
