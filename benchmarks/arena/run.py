"""Run rivals on the same images, weights, core and clock: one JSON row each, resumable. See README.md beside this file."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import sets
from rivals import RIVALS, Rival

HERE = Path(__file__).parent
ROWS = HERE.parent / "results" / "arena.jsonl"
MOMENTS = "model-moments"  # beside a rival's model: the folder of `protocol.moments_of`
AGAIN = 10  # every tenth test image is classified again in a fresh process
GRACE = 4.0  # times its limit, after which a rival is stopped


def environment(rival: Rival, work: Path) -> Path:
    """Make a rival's virtual environment, once, and return its python."""
    if rival.requirements is None:
        return Path(sys.executable)
    folder = work / "environments" / Path(rival.script).stem
    python = folder / "bin" / "python"
    if not (folder / ".done").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *rival.requirements], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        (folder / ".done").touch()
    return python


def call(command: list[str], core: int, limit_s: float, log: Path) -> tuple[str, float, int]:
    """Run a command on one core; return its output, seconds and the peak memory in kB of its largest process."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    surroundings = {**clean, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ARENA_BEGAN": str(time.time())}
    began = time.monotonic()
    with open(log, "w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], stdout=subprocess.PIPE, stderr=errors, text=True, env=surroundings
        )
        timer = subprocess.Popen(["sleep", str(limit_s)])
        while process.poll() is None and timer.poll() is None:
            time.sleep(0.2)
        timer.kill()
        if process.poll() is None:
            process.kill()
            raise RuntimeError(f"was stopped after {limit_s:.0f} s")
        output = process.stdout.read() if process.stdout else ""
    seconds = time.monotonic() - began
    if process.returncode:
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        raise RuntimeError((lines or [f"exit {process.returncode}"])[-1][:300])
    return output, seconds, _peak(output)


def _peak(output: str) -> int:
    for line in reversed(output.splitlines()):
        if line.startswith("{") and "peak_kb" in line:
            return int(json.loads(line)["peak_kb"])
    return 0


def answers(path: Path) -> dict[str, str]:
    """Read path -> predicted label."""
    with open(path, newline="", encoding="utf-8") as stream:
        return {Path(row["path"]).name: row["label"] for row in csv.DictReader(stream)}


def score(test: Path, predicted: dict[str, str]) -> dict[str, Any]:
    """Return accuracy and balanced accuracy on the locked test, and which images were right."""
    truth = {p.name: p.parent.name for p in sorted(test.rglob("*")) if p.is_file()}
    right = {name: predicted.get(name) == label for name, label in truth.items()}
    sizes = Counter(truth.values())
    recall = [sum(right[n] for n, lab in truth.items() if lab == c) / sizes[c] for c in sizes]
    bits = "".join("1" if right[n] else "0" for n in sorted(truth))
    return {
        "accuracy": sum(right.values()) / len(truth),
        "balanced": sum(recall) / len(recall),
        "n": len(truth),
        "bits": bits,
    }


def moments(script: list[str], out: Path, test: Path, core: int) -> list[tuple[float, float]]:
    """Return (seconds, test accuracy) of every model that was on disk before the end, where a rival leaves such."""
    if not (out / MOMENTS).is_dir():
        return []
    folder = out / "moments"
    folder.mkdir()
    call([*script, "moments", str(out / "model"), str(test), str(folder)], core, 1800, out / "moments.log")
    at = {float(path.stem): path for path in folder.glob("*.csv")}
    return [(s, round(score(test, answers(at[s]))["accuracy"], 4)) for s in sorted(at)]


def row(rival: Rival, name: str, minutes: float, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train, predict, load again: one row."""
    train, test = sets.write(args.data, name, seed, args.work / "sets")
    slug = "".join(c if c.isalnum() else "-" for c in rival.name)
    out = args.work / "out" / f"{slug}-{name}-{minutes:g}-{seed}"
    subprocess.run(["rm", "-rf", out], check=True)
    out.mkdir(parents=True)
    python = environment(rival, args.work)
    script = [str(python), str(HERE / "rivals" / rival.script)]
    options = ["--seconds", str(60 * minutes), "--seed", str(seed), "--weights", str(args.weights), "--threads", "1"]
    output, used_s, peak = call(
        [*script, "train", str(train), str(out / "model"), *options, *rival.options],
        args.core,
        GRACE * 60 * minutes + 120,
        out / "train.log",
    )
    reported = next((json.loads(line) for line in reversed(output.splitlines()) if line.startswith("{")), {})
    _, seconds, _ = call(
        [*script, "predict", str(out / "model"), str(test), str(out / "a.csv")], args.core, 1800, out / "predict.log"
    )
    first = answers(out / "a.csv")
    again = out / "again"
    again.mkdir()
    for path in sorted(p for p in test.rglob("*") if p.is_file())[::AGAIN]:
        (again / path.name).hardlink_to(path)
    call([*script, "predict", str(out / "model"), str(again), str(out / "b.csv")], args.core, 1800, out / "again.log")
    second = answers(out / "b.csv")
    scored = score(test, first)
    size = sum(p.stat().st_size for p in (out / "model").rglob("*") if p.is_file())
    return {
        **scored,
        "reported": reported.get("reported"),
        "used_s": round(used_s, 1),
        "peak_mb": round(peak / 1024),
        "disk_mb": round(size / 1e6, 1),
        "images_per_s": round(scored["n"] / seconds, 1),
        "loads_again": all(first[name] == label for name, label in second.items()),
        "versions": reported.get("versions", {}),
        "reached": moments(script, out, test, args.core),
        "history": [[round(s, 1), round(a, 4)] for s, a in reported.get("history", [])],
    }


def main() -> None:
    """Run what is asked for and not yet in the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="mobilenet_v2's state dict")
    parser.add_argument("--rival", action="append")
    parser.add_argument("--set", action="append", dest="names")
    parser.add_argument("--minutes", type=float, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--core", type=int, default=1)
    args = parser.parse_args()
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    done = {(r["rival"], r["set"], r["minutes"], r["seed"]) for r in rows}
    for minutes in args.minutes or [1.0]:
        for name in args.names or sets.SETS:
            for seed in args.seed or [0]:
                for rival in RIVALS:
                    key = (rival.name, name, minutes, seed)
                    if key in done or (args.rival and rival.name not in args.rival):
                        continue
                    head = dict(zip(("rival", "set", "minutes", "seed"), key, strict=True))
                    try:
                        made = {**head, **row(rival, name, minutes, seed, args)}
                    except RuntimeError as error:
                        made = {**head, "failed": str(error)}
                    with open(ROWS, "a", encoding="utf-8") as stream:
                        stream.write(json.dumps(made) + "\n")
                    print({k: v for k, v in made.items() if k != "bits"}, flush=True)


if __name__ == "__main__":
    main()
