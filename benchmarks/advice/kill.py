"""Kill runs with SIGKILL at random instants, resume them, and compare with the run that was not killed.

    python benchmarks/advice/kill.py [--kills 50] [--seed 0] [--to DIR] [--work DIR] [--minutes M]

A run is killed at an instant drawn from its i-th share of a life, resumed, killed once more, and resumed to its end.
After every kill: the worker is gone, the recipe can be read, what was finished stays finished. At the end: no trial
is left open, and recipe (times aside), model bytes, trials and result equal those of the whole run. Rows go to
kill.json; a harness that was stopped goes on behind them. Does NOT cover: full disks, dying workers (tests do).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ledger
import yaml

sys.path.append(str(ledger.ROOT / "tests" / "support"))

CALL = [sys.executable, "-m", "advisor"]
WORK = [
    "--trials",
    "6",
    "--seed",
    "3",
    "--backbone",
    "pocket",
    "--size",
    "32",
    "--offline",
    "--threads",
    "1",
    "--quiet",
]
STRATEGIES = [
    "--strategy",
    "logistic",
    "--strategy",
    "partial",
    "--regime",
    "partial",
]  # so that the default is trained
KILLS_EACH = 2
STRIDE = 7
WORKER_GOES_S = 5.0  # by when a worker must have noticed that its coordinator is gone


def start(run: Path, data: Path) -> list[str]:
    """Return the call that starts a run, or goes on with it where it was begun."""
    if (run / "run.json").exists():
        return [*CALL, "resume", str(run), "--quiet"]
    return [*CALL, "advise", str(data), *WORK, *STRATEGIES, "--out", str(run)]


def to_the_end(run: Path, data: Path) -> float:
    """Wait for the end of a run; return the seconds it took. Raises RuntimeError with its last words where it fails."""
    began = time.monotonic()
    done = subprocess.run(start(run, data), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return time.monotonic() - began


@dataclass
class Pace:
    """How slow the machine is now against when the whole run was timed: instants are shares of a life, not seconds."""

    probed_s: float  # until the whole run's first probe was written down
    factor: float = 1.0


def kill_after(run: Path, data: Path, seconds: float, pace: Pace) -> list[str] | None:
    """Start or resume, kill the coordinator after `seconds`; give what was broken, None where it had ended before."""
    began, measured = time.monotonic(), "probe" in events(run)
    with subprocess.Popen(start(run, data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        # An instant behind the first probe waits for it, however slow the machine is just now.
        while (elapsed_s := time.monotonic() - began) < seconds * pace.factor or (
            seconds > pace.probed_s and not measured
        ):
            if process.poll() is not None:
                return None
            if not measured and "probe" in events(run):
                measured, pace.factor = True, elapsed_s / pace.probed_s
            time.sleep(0.02)
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + WORKER_GOES_S
    while any(alive(w) for w in workers) and time.monotonic() < until:
        time.sleep(0.05)
    broken = ["a worker outlived its coordinator"] if any(alive(w) for w in workers) else []
    return broken + ([] if readable(run) else ["the recipe on disk cannot be read"])


def children(pid: int) -> list[int]:
    """List the processes that a process started (Linux; elsewhere none, and that check is left out)."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in listing.read_text().split()] if listing.exists() else []


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def readable(run: Path) -> bool:
    """Whether the recipe, once there, reads strictly and has its model beside it."""
    from advisor.errors import AdviseError
    from advisor.records import recipe_file

    if not (run / "recipe.yaml").exists():
        return True
    try:
        recipe_file.read(run / "recipe.yaml")
    except AdviseError:
        return False
    return (run / "model.safetensors").stat().st_size > 0 and (run / "model.json").stat().st_size > 0


def finished(run: Path) -> dict[int, str]:
    """Read the finished trials from a copy of the study, as their records; number -1 tells how many are open."""
    from advisor.tuning.trials.study import Study

    if not (run / "study.db").exists():
        return {-1: "0"}
    with tempfile.TemporaryDirectory() as folder:
        for file in run.glob("study.db*"):
            shutil.copy(file, folder)
        study = Study(Path(folder) / "study.db", 0)
        trials = {t.number: repr(t) for t in study.trials()}
        return {**trials, -1: str(len(study.interrupted()))}


def events(run: Path) -> list[str]:
    """List the events of the log."""
    lines = (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []
    return [json.loads(line)["event"] for line in lines if line.endswith("}")]


def stage(run: Path) -> str:
    """Name the part of the story that the last line of the log tells."""
    last = [e for e in events(run) if e != "start"][-1:] or ["start"]
    names = {"start": "start", "probe": "probes", "trial": "trials", "frozen": "refit and score", "final": "end"}
    return names.get(last[0], last[0])


def facts(run: Path) -> dict[str, Any]:
    """Collect everything that must be equal: recipe and result without times, model bytes, trials without times."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["outcome"].pop("seconds")
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    compared = ("status", "regime", "best", "validation", "test", "baseline", "gain", "ties", "trials", "optimism")
    from advisor.tuning.trials.study import Study

    trials = [(t.number, t.candidate, t.state, t.scores, t.curve) for t in Study(run / "study.db", 0).trials()]
    return {
        "recipe": recipe,
        "result": {k: result[k] for k in compared},
        "model": hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest(),
        "trials": repr(trials),
    }


def life(
    number: int, args: argparse.Namespace, data: Path, whole: dict[str, Any], life_s: float, pace: Pace
) -> dict[str, Any]:
    """Kill one run twice and let it end; give what was seen."""
    draws = random.Random(f"{args.seed} {number}")
    lives = -(-args.kills // KILLS_EACH)
    run = args.work / f"killed-{number}"
    shutil.rmtree(run, ignore_errors=True)
    row: dict[str, Any] = {"seed": args.seed, "life": number, "life_s": life_s, "kills": [], "broken": []}
    at_s = life_s * (number + draws.random()) / lives
    for _ in range(KILLS_EACH):
        broken = kill_after(run, data, at_s, pace)
        if broken is None:
            row["kills"].append({"at_s": round(at_s, 2), "pace": round(pace.factor, 2), "stage": "had ended"})
            break
        before = finished(run)
        instant = {"at_s": round(at_s, 2), "pace": round(pace.factor, 2), "stage": stage(run)}
        row["kills"].append({**instant, "finished": len(before) - 1})
        row["broken"] += broken
        # Starting takes as long again, what was done before does not.
        at_s = draws.uniform(0.7, 1.0) * pace.probed_s + draws.uniform(0.0, life_s - max(at_s, pace.probed_s))
    try:
        row["resumed_s"] = round(to_the_end(run, data), 2)
        row["broken"] += differences(run, whole, before if row["kills"][-1]["stage"] != "had ended" else {})
    except (RuntimeError, OSError, KeyError) as error:
        row["broken"].append(str(error))
    if not row["broken"]:
        shutil.rmtree(run)
    return row


def differences(run: Path, whole: dict[str, Any], before: dict[int, str]) -> list[str]:
    """List what is lost, left open, or other than in the run that was not killed."""
    after, here = finished(run), facts(run)
    lost = [n for n, record in before.items() if n >= 0 and after.get(n) != record]
    broken = [f"finished trials were lost or done again: {lost}"] if lost else []
    broken += ["a trial was left open"] if after[-1] != "0" else []
    return broken + [f"{name} differs from the whole run" for name in whole if here[name] != whole[name]]


def report(rows: list[ledger.Row]) -> str:
    """Write the table: kills by the part of the story that they hit, and what broke."""
    kills = [(k["stage"], bool(row["broken"])) for row in rows for k in row["kills"]]
    kills = [k for k in kills if k[0] != "had ended"]
    order = ["start", "probes", "trials", "refit and score", "end"]
    lines = [
        [name, str(sum(s == name for s, _ in kills)), str(sum(s == name and bad for s, bad in kills))] for name in order
    ]
    good = sum(not row["broken"] for row in rows)
    text = ledger.table(["last thing written before the kill", "kills", "of these in a run that broke a rule"], lines)
    summary = f"\n{len(kills)} kills in {len(rows)} runs; {good} of {len(rows)} runs ended equal to the whole one."
    broken = [f"- seed {row['seed']}, life {row['life']}: {'; '.join(row['broken'])}" for row in rows if row["broken"]]
    return text + summary + "\n" + "\n".join([*broken, f"{ledger.machine()}.", ""])


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-kill")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many, to go on at the next call")
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    return parser.parse_args()


def prepared(work: Path) -> tuple[Path, Path]:
    """Return the images, and the run that was not killed, done once to the end with a warm cache."""
    from photos import write_crops

    data, run = work / "crops", work / "whole"
    if not data.exists():
        write_crops(data, each=16, side_px=32)
    if not (run / "life.txt").exists():
        for _ in range(2):  # the second finds pixels and features in the cache, as the killed ones do
            shutil.rmtree(run, ignore_errors=True)
            seconds = to_the_end(run, data)
        (run / "life.txt").write_text(str(seconds))
    return data, run


def main() -> int:
    """Run the lives that are missing; 3 where a rule was broken."""
    args, until = arguments(), time.monotonic()
    until += 60 * args.minutes
    book = ledger.Ledger(args.to, "kill")
    if not args.table:
        os.environ["TL_ADVISE_CACHE"] = str(args.work / "cache")
        data, run = prepared(args.work)
        life_s, whole = float((run / "life.txt").read_text()), facts(run)
        log = (run / "log.jsonl").read_text().splitlines()
        pace = Pace(next(json.loads(line)["at_s"] for line in log if '"probe"' in line))
        lives = -(-args.kills // KILLS_EACH)
        for number in sorted(range(lives), key=lambda i: i * STRIDE % lives):  # spread, should it be stopped early
            if not book.has(seed=args.seed, life=number) and time.monotonic() < until:
                book.add(life(number, args, data, whole, life_s, pace))
                print(json.dumps(book.rows[-1]), flush=True)
    ledger.publish("kill", report(book.rows))
    return 3 if any(row["broken"] for row in book.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
