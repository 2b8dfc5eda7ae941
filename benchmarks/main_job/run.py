"""The main job on the shared data, as a new user runs it: `python benchmarks/main_job/run.py hymenoptera --budget 3m`.

For each seed: `tl-advise DATA --budget TIME --offline`, then `rerun --verify`. Written down: the locked-test score with
its interval, the time used, when the first recipe was on disk, whether the rerun was identical. Resumable: a seed whose
run is there is not run again. `--to` holds the runs; the table goes to standard output and to results/main_job.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("TL_ADVISE_SHARED", ROOT.parent / "shared" / "data"))
RESULTS = ROOT / "benchmarks" / "results" / "main_job.json"


def once(data: Path, out: Path, budget: str, seed: int, more: list[str]) -> dict[str, Any]:
    """Run one seed, unless it is there, and read what came out."""
    environment = {**os.environ, "TORCH_HOME": str(SHARED / "torch_home")}
    tool = [sys.executable, "-m", "advisor"]
    if not (out / "result.json").exists():
        call = [*tool, "advise", str(data), "--budget", budget, "--seed", str(seed), "--offline", "--out", str(out)]
        subprocess.run([*call, *more, "--quiet"], check=True, env=environment, stdout=subprocess.DEVNULL)
    verified = subprocess.run([*tool, "rerun", str(out), "--verify", "--offline"], env=environment, capture_output=True)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    events = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "data": data.name,
        "seed": seed,
        "budget": budget,
        "options": more,
        "best": f"{result['best']['strategy']} on {result['best']['backbone']}",
        "regime": result["regime"]["name"],
        "accuracy": result["test"]["accuracy"],
        "ci95": result["test"]["ci95"],
        "n": result["test"]["n"],
        "default": result["baseline"]["test"]["accuracy"]
        if result["baseline"] and result["baseline"]["test"]
        else None,
        "trials": sum(result["trials"].values()),
        "first_recipe_s": next((e["at_s"] for e in events if e["event"] == "probe"), None),
        "used_s": result["budget"]["used_s"],
        "identical": verified.returncode == 0,
        "machine": result["environment"],
    }


def keep_recipe(out: Path, data: Path, budget: str, seed: int, more: list[str]) -> None:
    """Copy a run's recipe into recipes/, with the command as a new user would type it."""
    from dataclasses import replace

    from advisor.records import recipe_file

    recipe = recipe_file.read(out)
    recipe = replace(recipe, data=replace(recipe.data, path_hint=data.name))
    text = recipe_file.write(
        recipe, command=" ".join(["tl-advise", data.name, "--budget", budget, "--seed", str(seed), *more])
    )
    if recipe.backbone.weights is not None and recipe.backbone.name != "pocket":
        note = (
            "# The weights file is a reconstruction, not torchvision's official one (its SHA-256 is below): with the\n"
            "# official file expect a close score, not an equal one.\n"
        )
        text = text.replace("\nschema:", f"\n{note}schema:", 1)
    (ROOT / "recipes" / f"{data.name}-{budget}.yaml").write_text(text, encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as markdown, with the median over seeds below each data set."""
    lines = [
        "| data | seed | budget | advice | test accuracy (95 %) | n | untuned default | first recipe | used | rerun |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        default = "-" if r["default"] is None else f"{r['default']:.3f}"
        same = "identical" if r["identical"] else "differs"
        lines.append(
            f"| {r['data']} | {r['seed']} | {r['budget']} | {r['best']} | {r['accuracy']:.3f} "
            f"({r['ci95'][0]:.3f}-{r['ci95'][1]:.3f}) | {r['n']} | {default} | {r['first_recipe_s']:.0f} s | "
            f"{r['used_s']:.0f} s | {same} |"
        )
    for name in dict.fromkeys(r["data"] for r in rows):
        scores = [r["accuracy"] for r in rows if r["data"] == name]
        if len(scores) > 1:
            lines.append(f"| {name} | median of {len(scores)} | | | {statistics.median(scores):.3f} | | | | | |")
    return "\n".join(lines)


def main() -> None:
    """Run what is asked for, and print the whole table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a shared data set, or a folder")
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--to", type=Path, default=ROOT / ".scratch" / "main_job", help="where runs and data go")
    parser.add_argument("--keep-recipe", action="store_true", help="copy the first seed's recipe into recipes/")
    arguments, more = parser.parse_known_args()
    data = Path(arguments.name)
    if not data.exists():
        subprocess.run(
            [sys.executable, SHARED / "unpack.py", arguments.name, "--to", arguments.to / "data"], check=True, stdout=2
        )
        data = arguments.to / "data" / arguments.name
    for seed in arguments.seeds:
        row = once(data, arguments.to / f"{data.name}-{arguments.budget}-{seed}", arguments.budget, seed, more)
        rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
        rows = [k for k in rows if (k["data"], k["seed"], k["budget"]) != (row["data"], seed, arguments.budget)]
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps([*rows, row], indent=1), encoding="utf-8")
    if arguments.keep_recipe:
        first = arguments.seeds[0]
        keep_recipe(arguments.to / f"{data.name}-{arguments.budget}-{first}", data, arguments.budget, first, more)
    print(table(json.loads(RESULTS.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
