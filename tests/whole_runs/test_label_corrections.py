"""Corrected labels through a whole run: stated in the answer, kept beside the recipe, demanded by a rerun."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from commands import run
from photos import write_crops

from advisor.data import dataset

WORK = ["--trials", "1", "--backbone", "pocket", "--strategy", "ridge", "--size", "32", "--offline", "--threads", "1"]


def test_a_corrected_run_says_what_it_corrected_and_reruns_only_with_the_same_corrections(tmp_path: Path) -> None:
    """An edited suspects.csv is taken; the recipe holds its hash; the copy beside the recipe makes the rerun identical."""
    crops = write_crops(tmp_path / "crops", classes=2, each=12, side_px=32)
    first = dataset.read(crops).pool[0]
    fixed = tmp_path / "suspects.csv"
    fixed.write_text(f"path,label,suggested,score\n{first.path},class 1,class 1,0.01\n", encoding="utf-8")
    out = tmp_path / "run"
    done = run("advise", str(crops), *WORK, "--relabel", str(fixed), "--out", str(out))
    assert "1 label corrected by" in " ".join(done.stdout.split())
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["relabelled"]["changes"] == [{"was": "class 0", "label": "class 1", "images": 1}]
    recipe = yaml.safe_load((out / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["data"]["relabelled"]["sha256"] == result["relabelled"]["sha256"]
    assert "1 label corrected by" in (out / "report.html").read_text(encoding="utf-8")
    assert "verified: identical" in run("rerun", str(out), "--verify", "--offline").stdout
    (out / "relabelled.csv").unlink()
    refused = run("rerun", str(out), "--offline", code=2)
    assert "data.relabelled: the recipe was made with 1 corrected labels" in refused.stderr
    assert "--relabel FILE" in refused.stderr
