"""What the model on disk is worth while the search goes on: locked-test accuracy against time.

    python benchmarks/advice/anytime.py [--budget 150] [--seed 0] [--only SET:SIZE ...] [--data DIR] [--to DIR]

While a run searches, every recipe that it writes is copied aside with its model; after the run has ended, each copy is
scored on the test images by the product's own `predict`. So the run never sees these scores. Cells are those of
regret.py. Does NOT cover: random search and other samplers.
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

KEPT = ("recipe.yaml", "model.json", "model.safetensors", "result.json")


def watch(run: Path, process: subprocess.Popen[bytes], to: Path) -> list[tuple[float, Path]]:
    """Copy every new recipe with its model until the run ends; give when each appeared, in seconds from the start."""
    began, last, seen = time.monotonic(), 0, []
    while True:
        ended = process.poll() is not None
        result = run / "result.json"  # is written last
        stamp = result.stat().st_mtime_ns if result.exists() else 0
        if stamp != last:
            last, place = stamp, to / str(len(seen))
            place.mkdir(parents=True)
            for name in KEPT:
                shutil.copy(run / name, place)
            seen.append((time.monotonic() - began, place))
        if ended:
            return seen
        time.sleep(0.1)


def score(place: Path, test: Path) -> tuple[float, int]:
    """Give the accuracy of a copied model on a folder of class folders, and the number of images."""
    import advisor

    paths = sorted(test.glob("*/*"))
    told = advisor.load(place).predict(paths)
    right = [
        told.classes[int(p.argmax())] == path.parent.name for p, path in zip(told.probabilities, paths, strict=True)
    ]
    return sum(right) / len(right), len(right)


def measure(name: str, size: str, args: argparse.Namespace, book: ledger.Ledger) -> None:
    """Run one cell and add a row for each recipe that it wrote."""
    import json

    data = regret.folder(name, size, args)
    if data is None:
        return
    environment = {**os.environ, "TL_ADVISE_CACHE": str(args.work / f"cache-anytime-{name}-{size}")}
    shutil.rmtree(environment["TL_ADVISE_CACHE"], ignore_errors=True)  # from the first decoded image on
    environment.setdefault("TORCH_HOME", str(ledger.shared() / "torch_home"))
    with tempfile.TemporaryDirectory(dir=args.work) as outer:
        run = Path(outer) / "run"
        call = [sys.executable, "-m", "advisor", "advise", str(data), "--out", str(run), "--quiet", "--offline"]
        call += ["--budget", f"{args.budget}s", "--seed", str(args.seed)]
        call += ["--threads", str(args.threads)] if args.threads else []
        with subprocess.Popen(call, stdout=subprocess.DEVNULL, env=environment) as process:
            seen = watch(run, process, Path(outer) / "seen")
        for at_s, place in seen:
            told = json.loads((place / "result.json").read_text(encoding="utf-8"))
            accuracy, n = score(place, data / "test")
            facts = {"at_s": round(at_s, 1), "accuracy": accuracy, "n": n, "status": told["status"]}
            facts |= {"backbone": told["best"]["backbone"], "strategy": told["best"]["strategy"]}
            book.add({"data": name, "size": size, "budget_s": args.budget, "seed": args.seed, **facts})


def report(rows: list[ledger.Row]) -> str:
    """Write the table: every recipe that was on disk, when, and what it was worth."""
    lines = [
        [
            f"{r['data']}, {r['size']}" if (i == 0 or rows[i - 1]["data"] != r["data"]) else "",
            f"{r['at_s']:.0f}",
            f"{r['accuracy']:.3f}",
            str(r["n"]),
            f"{r['strategy']} on {r['backbone']}",
            r["status"],
        ]
        for i, r in enumerate(rows)
    ]
    titles = ["data", "seconds", "test accuracy", "n", "what was on disk", "status"]
    return ledger.table(titles, lines) + f"\n{ledger.machine()}.\n"


def main() -> int:
    """Run the cells that are missing, one after another, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--only", action="append", help="SET:SIZE, such as sketch:1000 (repeatable)")
    parser.add_argument(
        "--data", type=Path, default=ledger.ROOT / ".scratch" / "data", help="where the sets are unpacked"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-regret")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(args.to, "anytime")
    for name, size in regret.cells(args.only or ["hymenoptera:all", "sketch:1000"]):
        if not book.has(data=name, size=size, budget_s=args.budget, seed=args.seed):
            measure(name, size, args, book)
    ledger.publish("anytime", report(book.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
