"""The search where it can search: dozens of small trainings in a run, against random search and the untuned default.

    python benchmarks/advice/quick.py [--budget 300] [--cpu] [--seeds 5] [--only SET ...] [--minutes M] [--data DIR] [--to DIR]

100 training images of a set at 32 px, the built-in network, full fine-tuning: a training on five folds takes 5 to 10 s on one
core. Each row is a whole run: locked-test accuracy (500 images) and log-loss of the winner, and of the untuned default that
the same run fixed before its first trial. The search and random search have the same seeds, spaces, verdict and budget
(ways.py). Differences are paired over seeds and sets.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ledger
import numpy as np
import ways

SETS = {"cifar10": "cifar10/train", "five_flowers": "five_flowers", "sketch": "pacs/sketch"}
TRAIN, TEST = 100, 500
WAYS = ("advice", "random")
OPTIONS = [
    "--backbone",
    "pocket",
    "--size",
    "32",
    "--regime",
    "full",
    "--offline",
    "--threads",
    "1",
    "--quiet",
    "--json",
]


def folder(name: str, seed: int, args: argparse.Namespace) -> Path:
    """Write a stratified sample as train/ and test/ of links: the seed draws the training images, the test is the same."""
    cell: Path = args.work / f"{name}-{seed}"
    if cell.exists():
        return cell
    ledger.unpacked(SETS[name].split("/")[0], args.data)
    labels = sorted(path for path in (args.data / SETS[name]).iterdir() if path.is_dir())
    waiting = cell.with_suffix(".new")
    for label in labels:
        files = sorted(label.iterdir())
        order = np.random.default_rng(0).permutation(len(files)).tolist()
        test, rest = order[: TEST // len(labels)], order[TEST // len(labels) :]
        train = np.random.default_rng([1, seed]).permutation(rest)[: TRAIN // len(labels)].tolist()
        for split, rows in (("train", train), ("test", test)):
            for row in rows:
                link = waiting / split / label.name / files[row].name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(files[row].resolve())
    waiting.rename(cell)
    return cell


def measure(name: str, way: str, seed: int, args: argparse.Namespace) -> ledger.Row:
    """Run one search."""
    data = folder(name, seed, args)
    with tempfile.TemporaryDirectory(dir=args.work) as outer:
        environment = {**os.environ, "TL_ADVISE_CACHE": f"{outer}/cache", "OMP_NUM_THREADS": "1"}
        environment |= {"CPU_TIME": "yes"} if args.cpu else {}
        call = [sys.executable, str(Path(ways.__file__)), way, "advise", str(data), "--out", f"{outer}/run", *OPTIONS]
        call += ["--budget", f"{args.budget}s", "--seed", str(seed)]
        done = subprocess.run(call, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"{name} {way} {seed}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        result = json.loads(done.stdout)
    baseline = (result["baseline"] or result)["test"]  # no baseline where the default won
    return {
        "trials": sum(result["trials"].values()),
        "used_s": result["budget"]["used_s"],
        "strategy": result["best"]["strategy"],
        "accuracy": result["test"]["accuracy"],
        "log_loss": result["test"]["log_loss"],
        "default_accuracy": baseline["accuracy"],
        "default_log_loss": baseline["log_loss"],
    }


def interval(differences: list[float]) -> str:
    """Return a mean with its 95 % interval (Student's t)."""
    from scipy import stats

    mean = float(np.mean(differences))
    if len(differences) < 2:
        return f"{mean:+.3f}"
    half = float(stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1))
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def report(rows: list[ledger.Row]) -> str:
    """Write the table: each set, and all together."""
    lines = []
    for names in [[name] for name in SETS] + [list(SETS)]:
        own = {(r["data"], r["way"], r["seed"]): r for r in rows if r["data"] in names}
        pairs = [
            (own[d, "advice", s], own[d, "random", s]) for d, w, s in own if w == "random" and (d, "advice", s) in own
        ]
        if not pairs:
            continue
        text = [names[0] if len(names) == 1 else "all", str(len(pairs))]
        text.append(" / ".join(f"{np.median([p[k]['trials'] for p in pairs]):.0f}" for k in (0, 1)))
        for score in ("accuracy", "log_loss"):
            text.append(f"{np.mean([p[0][score] for p in pairs]):.3f}")
            text.append(interval([p[0][score] - p[1][score] for p in pairs]))
            text.append(interval([p[0][score] - p[0][f"default_{score}"] for p in pairs]))
        lines.append(text)
    titles = ["data", "seeds", "trials (search / random)"]
    for score in ("accuracy", "log-loss"):
        titles += [f"{score} of the search", "less that of random search", "less that of the default"]
    return ledger.table(titles, lines) + (f"\n{ledger.machine()}.\n" if lines else "")


def main() -> int:
    """Run what is missing, both ways of a seed one after the other, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ledger.add_options(parser)
    parser.add_argument("--budget", type=float, default=300.0)
    parser.add_argument("--cpu", action="store_true", help="budgets are CPU seconds, on a machine that does more")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=sorted(SETS))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-quick")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(args.to, "quick")
    until = time.monotonic() + 60 * args.minutes
    cells = [(seed, name, way) for seed in range(args.seeds) for name in args.only or SETS for way in WAYS]
    for seed, name, way in [] if args.table else cells:
        fields = {"data": name, "way": way, "seed": seed, "budget_s": args.budget, "cpu": args.cpu}
        if not book.has(**fields) and time.monotonic() < until:
            book.add({**fields, **measure(name, way, seed, args)})
    ledger.publish("quick", report(book.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
