"""Two runs with one --out: the second writes nothing there and removes nothing, and an invalid call leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run
from photos import write_crops

from advisor import advice
from advisor.data import dataset
from advisor.records import Settings

FAST = {"backbones": ("pocket",), "size_px": 32, "offline": True, "threads": 1, "strategies": ("ridge",)}


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Twenty-four crops in two classes."""
    return write_crops(tmp_path / "crops", classes=2, each=12, side_px=32)


def test_a_second_start_with_the_same_out_leaves_the_first_alone(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that comes while the first one's run.json is not in place yet, where the folder still looks unused."""
    flush, second = os.fsync, []

    def slow(file: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        call = [sys.executable, "-m", "advisor", str(crops), "--out", str(tmp_path / "run"), "--trials", "1"]
        options = ["--backbone", "pocket", "--size", "32", "--strategy", "ridge", "--offline"]
        second.append(subprocess.run([*call, *options], capture_output=True, text=True))
        flush(file)

    monkeypatch.setattr(os, "fsync", slow)
    result, rundir = advice.advise(Settings(data=str(crops), trials=1, budget_s=None, **FAST), out=tmp_path / "run")
    assert second[0].returncode == 2, second[0].stderr
    assert "another process works on this run" in second[0].stderr
    assert result.status == "final"
    assert {"run.json", "log.jsonl", "study.db", "splits.csv", "result.json"} <= {p.name for p in rundir.path.iterdir()}


def test_a_corrected_call_takes_the_out_of_an_invalid_one(crops: Path, tmp_path: Path) -> None:
    """A table of corrections that leaves one class is refused after it was copied; nothing of the run stays."""
    table = tmp_path / "labels.csv"
    rows = [f"{item.path},class 0,{item.split}" for item in dataset.read(crops).items]
    table.write_text("\n".join(["path,label,split", *rows]) + "\n", encoding="utf-8")
    call = ["advise", str(crops), "--trials", "1", "--relabel", str(table), "--out", str(tmp_path / "run"), "--offline"]
    assert "only one class" in run(*call, "--backbone", "pocket", code=2).stderr
    assert not (tmp_path / "run").exists()
