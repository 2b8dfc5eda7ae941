"""Kill more than one search: trained refits, exports, predictions, two runs on one cache, data changed before the resume.

    python benchmarks/advice/kill_scenarios.py [--runs 50] [--to DIR] [--work DIR] [--minutes M] [--table]

Scenario i of `--runs` is the (i mod 10)-th of SCENARIOS; every instant of a kill is drawn from its number. Rules, in addition
to those of kill.py: an export is complete or absent, and a second one succeeds; predictions are complete or absent, and a
second call gives the same; the run beside the killed one ends equal to the whole run; a resume on changed data is refused with
exit 2 and one line, and ends equal to the whole run once the data are restored. Rows go to kill_scenarios.json, and a harness
that was stopped continues behind them. Does NOT cover: full disks.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kill
import ledger

LATER = [
    "--trials", "2", "--seed", "3", "--backbone", "pocket", "--size", "32", "--offline", "--threads", "1", "--quiet",
    "--strategy", "partial", "--regime", "partial",
]  # fmt: skip
# Ten in turn: refits are trained in all of them, since the default and every trial train the last stages of the network.
SCENARIOS = ("search", "data", "cache", "export", "predict", "search", "data", "refit", "export", "predict")
KINDS = ("search", "refit", "data", "cache", "export", "predict")


def start(run: Path, data: Path) -> list[str]:
    """Return the call that starts a run, or resumes it if it was begun."""
    if (run / "run.json").exists():
        return [*kill.CALL, "resume", str(run), "--quiet"]
    return [*kill.CALL, "advise", str(data), *LATER, "--out", str(run)]


def call(command: list[str], *, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})


def killed(command: list[str], seconds: float, *, until: Any = None, environment: dict[str, str] | None = None) -> bool:
    """Start a command and kill it after `seconds`, or once `until()` holds and they passed; False if it ended before."""
    environment = {**os.environ, **(environment or {})}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **quiet) as process:
        reached = time.monotonic() if until is None else None
        while reached is None or time.monotonic() - reached < seconds:
            if process.poll() is not None:
                return False
            if reached is None and until():
                reached = time.monotonic()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    return True


def ended(run: Path, data: Path, whole: dict[str, Any], environment: dict[str, str] | None = None) -> list[str]:
    """Wait for the end of a run; return what is other than in the whole run."""
    done = call(start(run, data), environment=environment)
    if done.returncode != 0:
        return [f"exit {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"]
    here = kill.facts(run)
    return [f"{name} differs from the whole run" for name in whole if comparable(here[name]) != comparable(whole[name])]


def comparable(value: Any) -> Any:
    """Drop the place of the data from a recipe: a copy of them lies elsewhere."""
    if isinstance(value, dict) and "data" in value:
        return {**value, "data": {k: v for k, v in value["data"].items() if k not in ("path_hint", "name")}}
    return value


def search(run: Path, data: Path, draws: random.Random, whole: dict[str, Any], life_s: float) -> list[str]:
    """Kill a search twice at random instants."""
    for _ in range(2):
        killed(start(run, data), draws.uniform(0.2, 1.0) * life_s)
        if not kill.readable(run):
            return ["the recipe on disk cannot be read"]
    return ended(run, data, whole)


def refit(run: Path, data: Path, draws: random.Random, whole: dict[str, Any], life_s: float) -> list[str]:
    """Kill a run within its trained refits or its test, twice."""
    for _ in range(2):
        killed(start(run, data), draws.uniform(0.0, 0.15) * life_s, until=lambda: "frozen" in kill.events(run))
    return ended(run, data, whole)


def change(data: Path, run: Path, draws: random.Random) -> tuple[str, Path, bytes | None]:
    """Remove, add or replace an image of a random split; return what was done, the file, and its former content."""
    rows = (run / "splits.csv").read_text(encoding="utf-8").splitlines()[1:]
    file = data / draws.choice(rows).split(",")[0]
    kind = draws.choice(["removed", "added", "replaced"])
    before = file.read_bytes()
    if kind == "added":
        other = file.with_name("added.jpg")
        other.write_bytes(before + b"\0")
        return kind, other, None
    if kind == "removed":
        file.unlink()
    else:
        file.write_bytes(before + b"\0")
    return kind, file, before


def changed_data(run: Path, data: Path, draws: random.Random, whole: dict[str, Any], life_s: float) -> list[str]:
    """Kill a search, change its data, resume (refused), restore them, resume."""
    own = run.with_name(f"{run.name}-data")
    shutil.copytree(data, own, dirs_exist_ok=True)
    killed(start(run, own), draws.uniform(0.0, 0.6) * life_s, until=lambda: "probe" in kill.events(run))
    kind, file, before = change(own, run, draws)
    done = call(start(run, own))
    lines = done.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("error:")]
    broken = []
    if (run / "result.json").exists() and json.loads((run / "result.json").read_text())["status"] == "final":
        broken = [] if done.returncode in (0, 2) else [f"{kind}: exit {done.returncode} of a finished run"]
    elif (
        done.returncode != 2
        or len(errors) != 1
        or "file differs, first: " not in errors[0]
        or "Traceback" in done.stderr
    ):
        broken = [f"{kind}: exit {done.returncode}, {lines[-1:]}"]
    if before is None:
        file.unlink()
    else:
        file.write_bytes(before)
    broken += ended(run, own, whole)
    shutil.rmtree(own)
    return broken


def shared_cache(run: Path, data: Path, draws: random.Random, whole: dict[str, Any], life_s: float) -> list[str]:
    """Start two runs on one empty cache and kill the first: the second, and the resumed first, end as the whole run."""
    other, cache = run.with_name(f"{run.name}-beside"), run.with_name(f"{run.name}-cache")
    environment = {"TL_ADVISE_CACHE": str(cache)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(start(other, data), env={**os.environ, **environment}, **quiet) as beside:
        killed(start(run, data), draws.uniform(0.2, 1.2) * life_s, environment=environment)
        code = beside.wait()
    broken = [f"the run beside ended with exit {code}"] if code else ended(other, data, whole, environment)
    broken += ended(run, data, whole, environment)
    for folder in (other, cache):
        shutil.rmtree(folder, ignore_errors=True)
    return broken


def export(run: Path, data: Path, draws: random.Random, whole: dict[str, Any], life_s: float) -> list[str]:
    """Kill an export: the target is absent or complete, the run is untouched, and a second export succeeds."""
    whole_run = run.parent / "whole-scenarios"
    form = draws.choice(["torch", "safetensors"])
    target = run.with_name(f"{run.name}-export")
    command = [*kill.CALL, "export", str(whole_run), "--format", form, "--out", str(target), "--quiet"]
    finished = not killed(command, draws.uniform(0.1, 0.9) * life_s)
    broken = [] if kill.facts(whole_run) == whole else ["the run was changed"]
    broken += [f"left over: {p.name}" for p in whole_run.iterdir() if p.name.startswith(".staging")]
    complete = target.is_dir() and (target / "model.json").exists() and any(target.glob("model.*[!n]"))
    if target.exists() and not complete:
        broken.append(f"a part of the export is at its place: {sorted(p.name for p in target.iterdir())}")
    if finished and not complete:
        broken.append("the export ended without its files")
    shutil.rmtree(target, ignore_errors=True)
    done = call(command)
    broken += [] if done.returncode == 0 else [f"second export: exit {done.returncode}: {done.stderr[-300:]}"]
    shutil.rmtree(target, ignore_errors=True)
    return broken


def predict(run: Path, data: Path, draws: random.Random, whole: dict[str, Any], life_s: float) -> list[str]:
    """Kill a prediction: its file is absent or complete, and a second call gives the same as one that was not killed."""
    whole_run, table = run.parent / "whole-scenarios", run.with_name(f"{run.name}.csv")
    command = [*kill.CALL, "predict", str(whole_run), str(data), "--out", str(table), "--threads", "1", "--quiet"]
    reference = run.parent / "predictions.csv"
    if not reference.exists():
        call([*command[:-5], "--out", str(reference), "--threads", "1", "--quiet"])
    killed(command, draws.uniform(0.1, 0.9) * life_s)
    broken = [] if kill.facts(whole_run) == whole else ["the run was changed"]
    if table.exists() and table.read_bytes() != reference.read_bytes():
        broken.append("a part of the predictions is at its place")
    table.unlink(missing_ok=True)
    done = call(command)
    if done.returncode != 0 or table.read_bytes() != reference.read_bytes():
        broken.append(f"second call: exit {done.returncode}, other predictions or none: {done.stderr[-300:]}")
    table.unlink(missing_ok=True)
    return broken


ACTIONS = {
    "search": search,
    "refit": refit,
    "data": changed_data,
    "cache": shared_cache,
    "export": export,
    "predict": predict,
}


def prepared(work: Path) -> tuple[Path, float, float]:
    """Return the images, and the seconds of a whole run and of a whole export, both with a warm cache."""
    from photos import write_crops

    data, run = work / "crops", work / "whole-scenarios"
    if not data.exists():
        write_crops(data, each=8, side_px=32)
    if not (run / "life.txt").exists():
        seconds = 0.0
        for _ in range(2):
            shutil.rmtree(run, ignore_errors=True)
            began = time.monotonic()
            done = call(start(run, data))
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
            seconds = time.monotonic() - began
        began = time.monotonic()
        call([*kill.CALL, "export", str(run), "--format", "torch", "--out", str(work / "first-export")])
        (run / "life.txt").write_text(f"{seconds} {time.monotonic() - began}")
    life_s, export_s = map(float, (run / "life.txt").read_text().split())
    return data, life_s, export_s


def report(rows: list[ledger.Row]) -> str:
    """Write the table: runs by scenario, and what broke."""
    lines = [
        [
            kind,
            str(sum(r["kind"] == kind for r in rows)),
            str(sum(r["kind"] == kind and bool(r["broken"]) for r in rows)),
        ]
        for kind in KINDS
    ]
    text = ledger.table(["scenario", "runs", "of these broke a rule"], lines)
    good = sum(not row["broken"] for row in rows)
    broken = [f"- {row['kind']} {row['number']}: {'; '.join(row['broken'])}" for row in rows if row["broken"]]
    return text + f"\n{good} of {len(rows)} kept all rules.\n" + "\n".join([*broken, f"{ledger.machine()}.", ""])


def main() -> int:
    """Run the scenarios that are missing; 3 if a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--to", type=Path, default=ledger.RESULTS)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tl-advise-kill")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no scenario after so many")
    parser.add_argument("--table", action="store_true", help="only write the table")
    args = parser.parse_args()
    book, begun = ledger.Ledger(args.to, "kill_scenarios"), time.monotonic()
    if not args.table:
        args.work.mkdir(parents=True, exist_ok=True)
        os.environ["TL_ADVISE_CACHE"] = str(args.work / "cache")
        data, life_s, export_s = prepared(args.work)
        whole = kill.facts(args.work / "whole-scenarios")
        for number in range(args.runs):
            kind = SCENARIOS[number % len(SCENARIOS)]
            if book.has(number=number):
                continue
            if time.monotonic() - begun > 60 * args.minutes:
                break
            run, began = args.work / f"scenario-{number}", time.monotonic()
            shutil.rmtree(run, ignore_errors=True)
            seconds = export_s if kind in ("export", "predict") else life_s
            broken = ACTIONS[kind](run, data, random.Random(f"scenario {number}"), whole, seconds)
            book.add({"number": number, "kind": kind, "broken": broken, "seconds": round(time.monotonic() - began, 1)})
            print(json.dumps(book.rows[-1]), flush=True)
            if not broken:
                shutil.rmtree(run, ignore_errors=True)
    ledger.publish("kill_scenarios", report(book.rows))
    return 3 if any(row["broken"] for row in book.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
