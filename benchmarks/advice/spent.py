"""What a budget is spent on: whole runs of the advice on four cells, under two states of the code or more.

    taskset -c 1 nice -n 5 python benchmarks/advice/spent.py --label NAME [--code DIR] [--seeds 2] [--cpu] [--table]

Cells: 70 sketches, 50 flowers, 1,001 sketches, ants and bees. `--code` is a checkout with a `.venv`; rows go to spent.json
under `--label`, a later call goes on behind them. With `--cpu` all clocks count CPU time (cpu_run.py), so that other load does
not matter. Does NOT cover: what other regimes would have reached (regret.py).
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
import regret

CELLS = (("sketch", "10"), ("five_flowers", "10"), ("sketch", "1000"), ("hymenoptera", "all"))


def run(code: Path, data: Path, budget_s: float, seed: int, work: Path, *, cpu: bool = False) -> ledger.Row:
    """Run the advice of a checkout on one core and return its row. Raises RuntimeError with its last words if it fails."""
    python = code / ".venv" / "bin" / "python"
    environment = {"TORCH_HOME": str(ledger.shared() / "torch_home"), **os.environ}
    with tempfile.TemporaryDirectory(dir=work) as outer:
        environment["TL_ADVISE_CACHE"] = f"{outer}/cache"
        command = [str(Path(__file__).with_name("cpu_run.py"))] if cpu else ["-m", "advisor"]
        call = [str(python) if python.exists() else sys.executable, *command, "advise", str(data)]
        call += ["--out", f"{outer}/run", "--budget", f"{budget_s:g}s", "--seed", str(seed)]
        call += ["--quiet", "--json", "--offline", "--threads", "1"]
        done = subprocess.run(call, capture_output=True, text=True, env=environment, cwd=code)
        if done.returncode != 0:
            raise RuntimeError(f"{data.name}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        result = json.loads(done.stdout)
        log = [json.loads(line) for line in Path(f"{outer}/run/log.jsonl").read_text().splitlines()]
        states = [t["state"] for t in log if t["event"] == "trial"]
    return {
        "pool": result["dataset"]["splits"]["pool"],
        "accuracy": result["test"]["accuracy"],
        "log_loss": result["validation"]["log_loss"],
        "n": result["test"]["n"],
        "best": f"{result['best']['strategy']} on {result['best']['backbone']}",
        "default": (result["baseline"] or {}).get("best", {}).get("strategy", "none"),
        "trials": len(states),
        "searched_s": max([line["at_s"] for line in log if line["event"] in ("trial", "probe")], default=0.0),
        "used_s": result["budget"]["used_s"],
        "stopped": (result.get("stopped_because") or {}).get("reason", ""),
    }


def report(rows: list[ledger.Row]) -> str:
    """Write the table: one line for each cell and state of the code, means over seeds."""
    lines = []
    groups = dict.fromkeys((r["data"], r["size"], r["label"]) for r in rows)
    for name, size, label in sorted(groups, key=lambda g: (CELLS.index((g[0], g[1])), list(groups).index(g))):
        own = [r for r in rows if (r["data"], r["size"], r["label"]) == (name, size, label)]
        mean = {
            k: sum(r[k] for r in own) / len(own) for k in ("accuracy", "log_loss", "trials", "searched_s", "used_s")
        }
        lines.append(
            [
                name,
                f"{own[0]['pool']:,}",
                label,
                str(len(own)),
                f"{mean['accuracy']:.3f}",
                f"{mean['log_loss']:.3f}",
                f"{mean['trials']:.1f}",
                f"{mean['searched_s']:.0f} s",
                f"{mean['used_s']:.0f} s",
                "; ".join(dict.fromkeys(r["best"] for r in own)),
            ]
        )
    titles = ["data", "images", "code", "seeds", "test accuracy", "validation log-loss", "trials", "search ended at"]
    return ledger.table([*titles, "whole run", "recommended"], lines) + f"\n{ledger.machine()}, one core.\n"


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--label", default="newest")
    parser.add_argument("--code", type=Path, default=ledger.ROOT)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--budget", type=float, default=150.0)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-data")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-regret")
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--cpu", action="store_true", help="count CPU time instead of wall time")
    parser.add_argument("--table", action="store_true", help="only write the table")
    args = parser.parse_args()
    book = ledger.Ledger(args.to, "spent")
    args.work.mkdir(parents=True, exist_ok=True)
    for seed in range(0 if args.table else args.seeds):
        for name, size in CELLS:
            key = {"data": name, "size": size, "label": args.label, "seed": seed, "budget_s": args.budget}
            if book.has(**key):
                continue
            folder = regret.folder(name, size, args)
            if folder is None:
                continue
            book.add({**key, **run(args.code, folder, args.budget, seed, args.work, cpu=args.cpu)})
            print(json.dumps(book.rows[-1]), flush=True)
    ledger.publish("spent", report(book.rows))


if __name__ == "__main__":
    main()
