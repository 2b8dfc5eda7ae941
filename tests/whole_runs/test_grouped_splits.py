"""Series of similar images through a whole run: kept together, stated in the answer, listed in the recipe for the rerun."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import yaml
from photographs import photo, save

WORK = ["--trials", "1", "--backbone", "pocket", "--strategy", "ridge", "--size", "32", "--offline", "--threads", "1"]


def run(*call: str) -> str:
    """Run a command, demand that it succeeds, and return its standard output."""
    done = subprocess.run([sys.executable, "-m", "advisor", *call], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_run_keeps_series_together_and_its_recipe_reruns_to_the_same_weights(tmp_path: Path) -> None:
    """No series is on both sides of the cut; result, terminal and report say how many; a rerun joins those of the recipe."""
    for number in range(20):
        for frame in range(3):
            path = tmp_path / "bursts" / f"c{number % 2}" / f"{number:02d}-{frame}.jpg"
            save(photo(number, (64, 64)), path, quality=95 - 8 * frame)
    out = tmp_path / "run"
    printed = run("advise", str(tmp_path / "bursts"), *WORK, "--out", str(out))
    assert "60 similar images in 20 groups" in " ".join(printed.split())
    assert "60 similar images in 20 groups" in (out / "report.html").read_text(encoding="utf-8")
    assert json.loads((out / "result.json").read_text())["joined"] == {"images": 60, "groups": 20, "members": []}
    assert json.loads((out / "profile.json").read_text())["joined"]["groups"] == 20
    sides = defaultdict(set)
    with open(out / "splits.csv", newline="") as table:
        for row in csv.DictReader(table):
            sides[row["path"].rpartition("-")[0]].add((row["split"], row["group"]))
    assert all(len(side) == 1 for side in sides.values())
    assert "verified: identical" in run("rerun", str(out), "--verify", "--offline")
    recipe = yaml.safe_load((out / "recipe.yaml").read_text(encoding="utf-8"))
    assert len(recipe["data"]["joined"]["members"]) == 20
