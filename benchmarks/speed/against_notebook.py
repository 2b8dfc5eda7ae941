"""Against a plain notebook (notebook_script.py), with the same MobileNetV2 weights, cores and test images.

A row: one data set and regime. The script's time is that of all its epochs, its accuracy that of its best epoch, chosen on
the very images it is scored on, as such scripts do. The product's time is when the first model lay on disk that reaches
it; "same regime" counts only models of strategies of that regime. 50,000 images of 224 px, 25 epochs long, would take
the script days on two cores: the CIFAR-10 here is a stratified sample at 96 px.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import ledger
import race
import regret

REGIMES = {"feature_extraction": 20, "partial": 4, "full": 2}  # how many times as fast the product should be
CELLS = {"hymenoptera:all": 224, "cifar10:1000": 96}
PAGE = ledger.ROOT / "docs" / "speed.md"


def measure(cell: str, regime: str, args: argparse.Namespace) -> dict[str, Any] | None:
    """Run the script, then the product with about the time that it should need."""
    data = regret.folder(*cell.split(":"), args)
    if data is None:
        return None
    script = str(Path(__file__).with_name("notebook_script.py"))
    call = [sys.executable, script, str(data), regime, "--size", str(CELLS.get(cell, args.size))]
    theirs = race.script([*call, "--epochs", str(args.epochs), "--threads", str(args.threads)])
    took, target = theirs[-1]["at_s"], theirs[-1]["best"]
    budget_s = args.budget or max(45.0, 1.3 * took / REGIMES[regime])
    options = ["--regime", regime, "--backbone", "mobilenet_v2", "--seed", str(args.seed)]
    ours = race.product(data, args.work, budget_s, options, args.threads)
    return {
        "script_s": round(took, 1),
        "target": target,
        "target_at_s": next(line["at_s"] for line in theirs if line["test"] >= target),
        "product_s": race.reached(ours, target),
        "same_regime_s": race.reached(ours, target, race.of_regime(regime)),
        "final": ours[-1],
        "budget_s": budget_s,
        "theirs": theirs,
        "ours": ours,
    }


def publish() -> None:
    """Write the table."""
    rows = [r for r in ledger.Ledger(ledger.RESULTS, "speed").rows if r["part"] == "notebook"]
    lines = []
    for r in rows:
        ratio = r["product_s"] / r["script_s"] if r["product_s"] else None
        lines.append(
            [
                f"{r['cell']}, {r['regime'].replace('_', ' ')}",
                f"{r['target']:.3f} after {r['script_s']:.0f} s (first at {r['target_at_s']:.0f} s)",
                f"{r['product_s']:.1f} s" if ratio else f"not within {r['budget_s']:.0f} s",
                f"{r['same_regime_s']:.1f} s" if r["same_regime_s"] else f"not within {r['budget_s']:.0f} s",
                f"1/{1 / ratio:.0f}" if ratio else "",
                f"1/{REGIMES[r['regime']]}",
                f"{r['final']['test']:.3f} after {r['final']['at_s']:.0f} s ({r['final']['strategy']})",
                str(r["final"]["n"]),
            ]
        )
    titles = ["data, regime", "the script", "product there", "same regime there", "of its time", "aim", "product's end"]
    ledger.publish("notebook", ledger.table([*titles, "test n"], lines) + f"\n{ledger.machine()}.\n", PAGE)


def main(arguments: list[str]) -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(prog="run.py notebook", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="SET:SIZE, such as cifar10:1000 (repeatable)")
    parser.add_argument("--regime", action="append", choices=list(REGIMES))
    parser.add_argument("--size", type=int, default=96, help="input size of the script for sets not listed here")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument(
        "--budget", type=float, help="seconds for the product; by default 1.3 times the aim, 45 s least"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, default=ledger.ROOT / ".scratch" / "data")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-speed")
    args = parser.parse_args(arguments)
    args.work.mkdir(parents=True, exist_ok=True)
    book = ledger.Ledger(ledger.RESULTS, "speed")
    for cell in args.only or CELLS:
        for regime in args.regime or REGIMES:
            key = {"part": "notebook", "cell": cell, "regime": regime, "seed": args.seed, "epochs": args.epochs}
            if not book.has(**key) and (measured := measure(cell, regime, args)):
                book.add({**key, "threads": args.threads, **measured})
    publish()
