"""What the model on disk is worth while the search goes on: locked-test accuracy against time.

    python benchmarks/advice/anytime.py [--budget 150] [--seed 0] [--only SET:SIZE ...] [--way WAY ...] [--data DIR]

While a run searches, every recipe that it writes is copied aside with its model; after the run has ended, each copy is
scored on the test images by the product's own `predict`. So the run never sees these scores. Cells are those of
regret.py; beside the advice, random search and the untuned default get the same time (ways.py).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ledger
import regret
import ways

INSTANTS = (15, 30, 60, 100)  # seconds from the start
KEPT = ("recipe.yaml", "model.json", "model.safetensors", "result.json")


def watch(run: Path, process: subprocess.Popen[bytes], to: Path) -> list[tuple[float, Path]]:
    """Copy every new recipe with its model until the run ends; give when each appeared, in seconds from the start."""
    began, last, seen = time.monotonic(), 0, []
    while True:
        ended = process.poll() is not None
        result = run / "result.json"  # is written last
        stamp = result.stat().st_mtime_ns if result.exists() else 0
        if stamp != last:
            last, snapshot = stamp, to / str(len(seen))
            snapshot.mkdir(parents=True)
            for name in KEPT:
                shutil.copy(run / name, snapshot)
            seen.append((time.monotonic() - began, snapshot))
        if ended:
            return seen
        time.sleep(0.1)


def score(snapshot: Path, test: Path) -> tuple[float, int]:
    """Return the accuracy of a copied model on a folder of class folders, and the number of images."""
    import advisor

    paths = sorted(test.glob("*/*"))
    predictions = advisor.load(snapshot).predict(paths)
    right = [
        predictions.classes[int(p.argmax())] == path.parent.name
        for p, path in zip(predictions.probabilities, paths, strict=True)
    ]
    return sum(right) / len(right), len(right)


def measure(name: str, size: str, way: str, args: argparse.Namespace, book: ledger.Ledger) -> None:
    """Run one cell in one way and add a row for each recipe that it wrote."""
    import json

    data = regret.folder(name, size, args)
    if data is None:
        return
    environment = {**os.environ, "TL_ADVISE_CACHE": str(args.work / f"cache-anytime-{name}-{size}")}
    shutil.rmtree(environment["TL_ADVISE_CACHE"], ignore_errors=True)  # from the first decoded image on
    environment.setdefault("TORCH_HOME", str(ledger.shared() / "torch_home"))
    with tempfile.TemporaryDirectory(dir=args.work) as outer:
        run = Path(outer) / "run"
        call = [
            sys.executable,
            str(Path(ways.__file__)),
            way,
            "advise",
            str(data),
            "--out",
            str(run),
            "--quiet",
            "--offline",
        ]
        call += ["--budget", f"{args.budget}s", "--seed", str(args.seed)]
        call += ["--threads", str(args.threads)] if args.threads else []
        with subprocess.Popen(call, stdout=subprocess.DEVNULL, env=environment) as process:
            seen = watch(run, process, Path(outer) / "seen")
        for at_s, snapshot in seen:
            result = json.loads((snapshot / "result.json").read_text(encoding="utf-8"))
            accuracy, n = score(snapshot, data / "test")
            facts = {"at_s": round(at_s, 1), "accuracy": accuracy, "n": n, "status": result["status"]}
            facts |= {"backbone": result["best"]["backbone"], "strategy": result["best"]["strategy"]}
            told_of = {"data": name, "size": size, "budget_s": args.budget, "seed": args.seed, "way": way}
            book.add({**told_of, "threads": args.threads, **facts})


def report(rows: list[ledger.Row]) -> str:
    """Write the table: for each cell and way, what the model on disk was worth at some instants and at the end."""
    lines = []
    runs = dict.fromkeys((r["data"], r["size"], r["seed"], r["way"]) for r in rows)
    for run in runs:
        own = [r for r in rows if (r["data"], r["size"], r["seed"], r["way"]) == run]
        at = [[r["accuracy"] for r in own if r["at_s"] <= instant] for instant in INSTANTS]
        last = own[-1]
        lines.append(
            [
                f"{run[0]}, {run[1]}",
                run[3],
                f"{own[0]['at_s']:.0f} s",
                *(f"{seen[-1]:.3f}" if seen else "-" for seen in at),
                f"**{last['accuracy']:.3f}** after {last['at_s']:.0f} s ({last['strategy']} on {last['backbone']})",
                str(last["n"]),
            ]
        )
    titles = ["data", "way", "first recipe", *(f"at {instant} s" for instant in INSTANTS), "end", "test n"]
    return ledger.table(titles, lines) + f"\n{ledger.machine()}.\n"


def main() -> int:
    """Run the cells that are missing, one after another, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--only", action="append", help="SET:SIZE, such as sketch:1000 (repeatable)")
    parser.add_argument("--way", action="append", choices=ways.WAYS, help="(repeatable) [all]")
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    parser.add_argument(
        "--data", type=Path, default=ledger.ROOT / ".scratch" / "data", help="where the sets are unpacked"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-regret")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(args.to, "anytime")
    for name, size in [] if args.table else regret.cells(args.only or ["hymenoptera:all", "sketch:1000"]):
        for way in args.way or ways.WAYS:
            if not book.has(data=name, size=size, budget_s=args.budget, seed=args.seed, way=way):
                measure(name, size, way, args, book)
    ledger.publish("anytime", report(book.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
