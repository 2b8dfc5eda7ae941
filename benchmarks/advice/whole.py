"""Whole runs as a check of honesty.py: does the interval of the locked test hold what the model does on new images?

    python benchmarks/advice/whole.py [--runs 30] [--first 0] [--budget 30] [--data DIR] [--to DIR]

A run draws train, test and a remainder of at least ten times the test's size from a set, lays the first two out as a
folder, runs `tl-advise FOLDER --budget 30s` (fine-tuning included), and lets `tl-advise predict` judge the remainder.
Resumable: a run that is written down is not run again. Does NOT cover: the many cheap searches of honesty.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import ledger
import numpy as np

from advisor.data import dataset
from advisor.metrics import intervals
from advisor.records import Dataset, Item

CASES = (("five flowers", "five_flowers", 300, 150, 1600), ("CIFAR-10", "cifar10/test", 300, 200, 2000))
TOOL = [sys.executable, "-m", "advisor"]
SIZE_PX = 64  # small, so that thirty runs fit into an hour


def laid_out(data_set: Dataset, items: list[Item], work: Path) -> None:
    """Link items into class folders."""
    for number, item in enumerate(items):
        link = work / data_set.classes[item.label] / f"{number:05d}{Path(item.path).suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((Path(data_set.root) / item.path).resolve())


def once(number: int, args: argparse.Namespace) -> ledger.Row:
    """Draw, search, predict the remainder: one run from its number."""
    name, folder, train, test, rest = CASES[number % len(CASES)]
    ledger.unpacked(folder.split("/")[0], args.data)
    data_set = dataset.read(args.data / folder, test_split="none")
    order = np.random.Generator(np.random.Philox(key=number)).permutation(len(data_set.items))
    drawn = [data_set.items[i] for i in order[: train + test + rest]]
    with tempfile.TemporaryDirectory() as outer:
        work = Path(outer)
        laid_out(data_set, drawn[:train], work / "data" / "train")
        laid_out(data_set, drawn[train : train + test], work / "data" / "test")
        laid_out(data_set, drawn[train + test :], work / "new")
        result = advised(work, number, args)
        right = remainder(work, args)
    return {
        "data": name,
        "seed": number,
        "best": f"{result['best']['strategy']} on {result['best']['backbone']}",
        "trained": result["regime"]["name"] != "feature_extraction",
        "validation": result["validation"]["accuracy"],
        "test": result["test"]["accuracy"],
        "ci95": result["test"]["ci95"],
        "n": result["test"]["n"],
        "remainder": right,
        "remainder_n": rest,
    }


def advised(work: Path, seed: int, args: argparse.Namespace) -> ledger.Row:
    """Run the main job and give its result."""
    call = [*TOOL, "advise", str(work / "data"), "--out", str(work / "run"), "--budget", f"{args.budget}s"]
    call += ["--seed", str(seed), "--size", str(SIZE_PX), "--offline", "--quiet", "--json", "--threads", "1"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, env=environment(args))
    result: ledger.Row = json.loads(done.stdout)
    return result


def remainder(work: Path, args: argparse.Namespace) -> float:
    """Return the share of the new images that the model gets right."""
    call = [*TOOL, "predict", str(work / "run"), str(work / "new"), "--json", "--quiet"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, env=environment(args))
    rows = json.loads(done.stdout)["predictions"]
    return float(np.mean([Path(row["path"]).parent.name == row["class"] for row in rows]))


def environment(args: argparse.Namespace) -> dict[str, str]:
    """Return the environment of a run: shared weights, a cache beside the results."""
    weights = str(ledger.shared() / "torch_home")
    return {**os.environ, "TORCH_HOME": os.environ.get("TORCH_HOME", weights), "OMP_NUM_THREADS": "1"}


def report(rows: list[ledger.Row]) -> str:
    """Write the table and what all runs say together."""
    lines = []
    for name in dict.fromkeys(r["data"] for r in rows):
        mine = [r for r in rows if r["data"] == name]
        lines.append([name, str(len(mine)), str(mine[0]["n"]), f"{mine[0]['remainder_n']:,}", *summary(mine)])
    lines.append(["together", str(len(rows)), "", "", *summary(rows)])
    titles = ["data", "whole runs", "test n", "remainder", "intervals that hold it", "reported minus remainder, points"]
    return ledger.table([*titles, "best validation minus remainder, points"], lines)


def summary(rows: list[ledger.Row]) -> list[str]:
    """Return how many intervals hold the remainder's accuracy, and the mean gaps with their 95 % intervals."""
    held = sum(r["ci95"][0] <= r["remainder"] <= r["ci95"][1] for r in rows)
    low, high = intervals.wilson(held, len(rows))
    cells = [f"{held} of {len(rows)} ({100 * low:.0f}-{100 * high:.0f} %)"]
    for score in ("test", "validation"):
        gap = 100 * np.array([r[score] - r["remainder"] for r in rows])
        cells.append(f"{gap.mean():+.2f} ± {1.96 * gap.std(ddof=1) / np.sqrt(len(gap)):.2f}")
    return cells


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument(
        "--first", type=int, default=0, help="the number to begin with, so that several can share the work"
    )
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for each run")
    parser.add_argument("--data", type=Path, default=ledger.ROOT / ".scratch" / "data")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "whole")
    for number in range(args.first, args.runs):
        if not book.has(seed=number):
            book.add(once(number, args))
            print(book.rows[-1], flush=True)
    if len(book.rows) > 3:
        ledger.publish("whole", report(book.rows))


if __name__ == "__main__":
    sys.exit(main())
