"""A race to an accuracy: another program's lines on one side, the recipes that the product leaves on the other.

In: a folder with train/ and test/, a command. Out: curves (seconds since the process began, accuracy on test/). The
product starts with an empty cache; every model that it writes is copied aside and scored after the run has ended, so
its time holds neither these scores nor a look at the test. Does NOT cover: what is compared (against_*.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anytime
import ledger

Curve = list[dict[str, Any]]


ROUNDING = 1e-6  # scripts keep accuracies in single precision: 144 of 153 is 4e-9 more there


def environment(**more: str) -> dict[str, str]:
    """Return the environment of both sides: the shared weights, and what is added."""
    there = {"TORCH_HOME": str(ledger.shared() / "torch_home")}
    return {**there, **os.environ, **more}


def script(call: list[str]) -> Curve:
    """Run a program that prints one JSON line an epoch; gives the lines."""
    done = subprocess.run(call, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def product(data: Path, work: Path, budget_s: float, options: list[str], threads: int) -> Curve:
    """Run the main job from an empty cache and score every model that it wrote on test/."""
    with tempfile.TemporaryDirectory(dir=work) as outer:
        run = Path(outer) / "run"
        call = [sys.executable, "-m", "advisor", "advise", str(data), "--out", str(run), "--quiet", "--offline"]
        call += ["--budget", f"{budget_s:.0f}s", "--threads", str(threads), *options]
        with subprocess.Popen(
            call, stdout=subprocess.DEVNULL, env=environment(TL_ADVISE_CACHE=f"{outer}/cache")
        ) as process:
            seen = anytime.watch(run, process, Path(outer) / "seen")
        curve = []
        for at_s, snapshot in seen:
            result = json.loads((snapshot / "result.json").read_text(encoding="utf-8"))
            accuracy, n = anytime.score(snapshot, data / "test")
            best = result["best"]
            curve.append(
                {"at_s": round(at_s, 2), "test": accuracy, "n": n, "status": result["status"], **_what(best, result)}
            )
        shutil.rmtree(f"{outer}/cache", ignore_errors=True)
        return curve


def _what(best: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {"strategy": best["strategy"], "backbone": best["backbone"], "regime": result["regime"]["name"]}


def reached(curve: Curve, accuracy: float, strategies: set[str] | None = None) -> float | None:
    """Return when a curve first stood at an accuracy or above; `strategies`, where given, are those that count."""
    return next(
        (
            p["at_s"]
            for p in curve
            if p["test"] >= accuracy - ROUNDING and (strategies is None or p["strategy"] in strategies)
        ),
        None,
    )


def of_regime(name: str) -> set[str]:
    """Name the strategies of a regime."""
    from advisor import registry

    return {n for n, s in registry.load().strategies.items() if s.regime == name}
