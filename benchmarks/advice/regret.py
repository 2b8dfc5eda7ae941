"""What the advice loses against the best regime, each searched alone with the same budget; and what the size rule loses.

    python benchmarks/advice/regret.py [--budget 150] [--seed 0] [--only SET:SIZE ...] [--data DIR] [--to DIR]

For each data set at up to three sizes (10 images a class, 1,000, all): the locked-test accuracy of `advise`, and of
`advise --regime R` for the three regimes, and of the ensemble beside the advice. An arm is one process; its row goes to
regret.json as it ends, and a later call goes on behind it. Differences are paired, on the same test images. Does NOT cover:
several seeds in one table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import ledger
import numpy as np

REGIMES = ("feature_extraction", "partial", "full")
ARMS = ("advice", *REGIMES)
SETS = {
    "hymenoptera": "hymenoptera",
    "sketch": "pacs/sketch",
    "five_flowers": "five_flowers",
    "flowers102": "flowers102",
    "cifar10": "cifar10",
}
SIZES = ("10", "1000", "all")  # 10 images of every class; 1,000 images; all that are there
TEST = 2000  # images at most; a stratified sample fixed by content


def cells(only: list[str] | None) -> list[tuple[str, str]]:
    """List what is asked for, cheapest first."""
    every = [(name, size) for size in SIZES for name in SETS]
    return [cell for cell in every if not only or ":".join(cell) in only]


def folder(name: str, size: str, args: argparse.Namespace) -> Path | None:
    """Write a cell as train/ and test/ of links; None where the set has no such size."""
    from advisor.data import dataset, subsample

    cell: Path = args.work / f"{name}-{size}"
    if cell.exists():
        return cell
    ledger.unpacked(SETS[name].split("/")[0], args.data)
    data_set = dataset.read(args.data / SETS[name])
    pool, test = data_set.pool, subsample.stratified(data_set.test, TEST)
    if size == "1000":
        if len(pool) < 1100:
            return None
        pool = subsample.stratified(pool, 1000)
    elif size == "10":
        each = defaultdict(list)
        for item in sorted(pool, key=lambda i: i.sha256):
            each[item.label].append(item)
        pool = tuple(item for own in each.values() for item in own[:10])
    waiting = cell.with_suffix(".new")
    for split, items in (("train", pool), ("test", test)):
        for number, item in enumerate(items):
            link = waiting / split / data_set.classes[item.label] / f"{number:05d}{Path(item.path).suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to((Path(data_set.root) / item.path).resolve())
    waiting.rename(cell)
    return cell


def arm(name: str, size: str, which: str, data: Path, args: argparse.Namespace) -> ledger.Row:
    """Run one arm to its end and give its row. Raises RuntimeError with its last words where it fails."""
    environment = {"TORCH_HOME": str(ledger.shared() / "torch_home"), **os.environ}
    with tempfile.TemporaryDirectory(dir=args.work) as outer:
        environment["TL_ADVISE_CACHE"] = f"{outer}/cache"  # every arm decodes and computes for itself
        run = Path(outer) / "run"
        call = [sys.executable, "-m", "advisor", "advise", str(data), "--out", str(run)]
        call += ["--quiet", "--json", "--offline"]
        call += ["--budget", f"{args.budget}s", "--seed", str(args.seed)]
        call += ["--threads", str(args.threads)] if args.threads else []
        call += [] if which == "advice" else ["--regime", which]
        done = subprocess.run(call, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"{name} {size} {which}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        result = json.loads(done.stdout)
        with np.load(run / "trials" / "test.npz") as saved:
            right = saved["logits"][0].argmax(1) == saved["labels"]
    return {
        "data": name,
        "size": size,
        "arm": which,
        "budget_s": args.budget,
        "seed": args.seed,
        "threads": args.threads,
        "pool": result["dataset"]["splits"]["pool"],
        "accuracy": result["test"]["accuracy"],
        "n": result["test"]["n"],
        "prior": result["regime"]["prior"],
        "regime": result["regime"]["name"],
        "backbone": result["best"]["backbone"],
        "strategy": result["best"]["strategy"],
        "ensemble": None if result["ensemble"] is None else result["ensemble"]["test"]["accuracy"],
        "members": [] if result["ensemble"] is None else [m["backbone"] for m in result["ensemble"]["members"]],
        "trials": sum(result["trials"].values()),
        "used_s": result["budget"]["used_s"],
        "right": np.packbits(right).tobytes().hex(),
    }


def right_of(row: ledger.Row) -> np.ndarray:
    """Return which test images were right, (n,)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(row["right"]), np.uint8))[: row["n"]].astype(float)


def paired(a: ledger.Row, b: ledger.Row) -> tuple[float, float, float]:
    """Return a minus b in points with its 95 % interval, on the same images."""
    from advisor.metrics import intervals

    low, high = intervals.paired_bootstrap(right_of(a), right_of(b))
    return 100 * (a["accuracy"] - b["accuracy"]), 100 * low, 100 * high


@dataclass
class Totals:
    """What the runs of one budget lose and gain, in points, and the shares of the budget that the advice used."""

    regrets: list[float] = field(default_factory=list)
    with_ensemble: list[float] = field(default_factory=list)  # of those who use the ensemble wherever one is offered
    size_rule: list[tuple[float, float, float]] = field(default_factory=list)
    gained: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)


def report(rows: list[ledger.Row]) -> str:
    """Write the table of all cells whose four arms are there, and for each budget what they say together."""
    grouped: dict[tuple[str, str, float, int], dict[str, ledger.Row]] = defaultdict(dict)
    for row in sorted(rows, key=lambda r: r["budget_s"]):
        grouped[row["data"], row["size"], row["budget_s"], row["seed"]][row["arm"]] = row
    lines, totals = [], defaultdict(Totals)
    for (_, _, budget_s, _), arms in grouped.items():
        if set(arms) == set(ARMS) and len({a["n"] for a in arms.values()}) == 1:
            lines.append(line(arms, totals[budget_s]))
    titles = ["data", "training images", "test n", "budget", *REGIMES, "advice", "its ensemble (members)"]
    titles += ["regret, points", "size rule says"]
    text = ledger.table([*titles, "it loses, points"], lines)
    said = "".join(f"\n{budget_s:g} s: {summary(own)}" for budget_s, own in totals.items() if len(own.regrets) > 1)
    return text + f"{said}\n{ledger.machine()}.\n" if lines else text


def line(arms: dict[str, ledger.Row], totals: Totals) -> list[str]:
    """Write one cell of the table, and add what it says to the totals."""
    advice = arms["advice"]
    best = max((arms[r] for r in REGIMES), key=lambda a: a["accuracy"])
    regret, rule = paired(best, advice), paired(best, arms[advice["prior"]])
    offered = advice["ensemble"]
    totals.regrets.append(regret[0])
    totals.with_ensemble.append(100 * (best["accuracy"] - (offered or advice["accuracy"])))
    totals.size_rule.append(rule)
    totals.gained += [] if offered is None else [100 * (offered - advice["accuracy"])]
    totals.used.append(100 * advice["used_s"] / advice["budget_s"])
    words = [advice["data"], f"{advice['pool']:,}", str(advice["n"])]
    words.append(f"{advice['budget_s']:g} s, seed {advice['seed']}")
    words += [f"{arms[a]['accuracy']:.3f} ({arms[a]['strategy']})" for a in REGIMES]
    words += [f"**{advice['accuracy']:.3f}** ({advice['regime']}, {advice['strategy']})"]
    words += ["-" if offered is None else f"{offered:.3f} ({len(advice['members'])})"]
    words += [f"{regret[0]:+.1f} ({regret[1]:+.1f} to {regret[2]:+.1f})", advice["prior"]]
    return [*words, f"{rule[0]:+.1f} ({rule[1]:+.1f} to {rule[2]:+.1f})"]


def summary(totals: Totals) -> str:
    """Write what all runs of one budget say together."""
    regrets, used, wrong, gained = totals.regrets, totals.with_ensemble, totals.size_rule, totals.gained
    missed = [w for w in wrong if w[0] > 0]
    return (
        f"mean regret {np.mean(regrets):+.2f} points over {len(regrets)} runs "
        f"({np.maximum(regrets, 0).mean():.2f} where being ahead counts as nothing), worst {max(regrets):+.1f}; with the "
        f"ensemble wherever one is offered {np.mean(used):+.2f} ({np.maximum(used, 0).mean():.2f}), worst {max(used):+.1f}. "
        f"The run of the size rule's regime is behind another in {len(missed)} of {len(wrong)} (beyond noise in "
        f"{sum(w[1] > 0 for w in wrong)}), and then loses {np.mean([w[0] for w in missed] or [0]):.1f} points on average, "
        f"{max([w[0] for w in missed] or [0]):.1f} at worst. An ensemble was offered in {len(gained)} runs, "
        f"{np.mean(gained or [0]):+.1f} points against the single model, {min(gained or [0]):+.1f} at worst. "
        f"The advice used {np.mean(totals.used):.0f} % of the budget.\n"
    )


def main() -> int:
    """Run the arms that are missing, one after another, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=150.0, help="seconds for each arm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--only", action="append", help="SET:SIZE, such as sketch:1000 (repeatable)")
    parser.add_argument(
        "--data", type=Path, default=ledger.ROOT / ".scratch" / "data", help="where the sets are unpacked"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-regret")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(args.to, "regret")
    for name, size in [] if args.table else cells(args.only):
        data = folder(name, size, args)
        for which in ARMS if data else ():
            if not book.has(data=name, size=size, arm=which, budget_s=args.budget, seed=args.seed):
                book.add(arm(name, size, which, data, args))
                print({k: v for k, v in book.rows[-1].items() if k != "right"}, flush=True)
    ledger.publish("regret", report(book.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
