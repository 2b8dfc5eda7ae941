"""Whether the budget holds on a machine that becomes busy: whole runs, with a busy loop on the same core from the middle.

    python benchmarks/advice/loaded.py [--runs 20] [--core 1] [--data DIR] [--to DIR] [--table]

Runs go around three data sets (ants and bees, 70 sketches, 50 flowers) and two budgets (30 and 60 s), one thread, each with
its own seed and an empty cache. The end is the end of the process, measured from outside. Rows go to loaded.json; a later
call goes on behind them. Does NOT cover: what the load costs in accuracy.
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
import regret

CELLS = (("hymenoptera", "all"), ("sketch", "10"), ("five_flowers", "10"))
BUDGETS_S = (30.0, 60.0)
BUSY = "while True: pass"


def run(data: Path, budget_s: float, seed: int, core: int, work: Path) -> ledger.Row:
    """Run the advice on a core that a second process takes from the middle of the budget on; return the row."""
    with tempfile.TemporaryDirectory(dir=work) as outer:
        surroundings = {
            "TORCH_HOME": str(ledger.shared() / "torch_home"),
            **os.environ,
            "TL_ADVISE_CACHE": f"{outer}/cache",
        }
        pinned = ["taskset", "-c", str(core), sys.executable]
        call = [*pinned, "-m", "advisor", "advise", str(data), "--out", f"{outer}/run", "--budget", f"{budget_s:g}s"]
        call += ["--seed", str(seed), "--quiet", "--json", "--offline", "--threads", "1"]
        load_before = os.getloadavg()[0]
        began = time.monotonic()
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings)
        busy = None
        try:
            try:
                output, errors = process.communicate(timeout=budget_s / 2)
            except subprocess.TimeoutExpired:
                busy = subprocess.Popen([*pinned, "-c", BUSY])
                output, errors = process.communicate(timeout=20 * budget_s)
        finally:
            if busy is not None:
                busy.kill()
        wall_s = time.monotonic() - began
    if process.returncode:
        return {"failed": errors.strip()[-300:], "wall_s": round(wall_s, 1)}
    result = json.loads(output)
    return {
        "wall_s": round(wall_s, 1),
        "stated_s": result["budget"]["used_s"],
        "over_s": round(max(0.0, wall_s - budget_s), 1),
        "flagged": result["budget"].get("over_s", 0.0) > 0,
        "accuracy": result["test"] and result["test"]["accuracy"],
        "status": result["status"],
        "load_before": round(load_before, 1),
    }


def report(rows: list[ledger.Row]) -> str:
    """Write the table: one line for each data set and budget."""
    lines = []
    for name, size in CELLS:
        for budget_s in BUDGETS_S:
            own = [r for r in rows if (r["data"], r["budget_s"]) == (name, budget_s)]
            if not own:
                continue
            ended = [r for r in own if "failed" not in r]
            over = [r["over_s"] for r in ended]
            most = max(3.0, 0.05 * budget_s)
            lines.append(
                [
                    f"{name} ({size})",
                    f"{budget_s:g} s",
                    f"{len(ended)} of {len(own)}",
                    f"{sum(r['wall_s'] for r in ended) / max(1, len(ended)):.1f} s",
                    f"{max(over, default=0.0):.1f} s",
                    f"{sum(o > most for o in over)}",
                    f"{max((abs(r['wall_s'] - r['stated_s']) for r in ended), default=0.0):.1f} s",
                ]
            )
    titles = ["data", "budget", "ended with a result", "mean end", "worst over", "over by more than 5 % and 3 s"]
    return ledger.table([*titles, "stated time off by at most"], lines) + f"\n{ledger.machine()}, one core.\n"


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-data")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-regret")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--table", action="store_true", help="only write the table")
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "loaded")
    args.work.mkdir(parents=True, exist_ok=True)
    for number in range(0 if args.table else args.runs):
        name, size = CELLS[number % len(CELLS)]
        key = {"data": name, "size": size, "budget_s": BUDGETS_S[number // len(CELLS) % 2], "seed": number}
        if book.has(**key):
            continue
        folder = regret.folder(name, size, args)
        if folder is None:
            continue
        book.add({**key, **run(folder, key["budget_s"], number, args.core, args.work)})
        print(json.dumps(book.rows[-1]), flush=True)
    ledger.publish("loaded", report(book.rows))


if __name__ == "__main__":
    main()
