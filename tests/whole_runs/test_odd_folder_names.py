"""A run in a folder whose name holds what means something in URLs and on command lines."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from commands import run
from photos import write_crops


def test_a_run_lies_whole_in_its_folder(tmp_path: Path) -> None:
    """Its study too; it is resumed there, and nothing lies beside it."""
    crops = write_crops(tmp_path / "50% #cats?" / "crops", classes=2, each=12, side_px=32)
    parent = tmp_path / "what? 100% #1"
    call = [
        "advise",
        str(crops),
        "--trials",
        "1",
        "--backbone",
        "pocket",
        "--size",
        "32",
        "--strategy",
        "ridge",
        "--offline",
    ]
    run(*call, "--out", str(parent / "run"))
    with sqlite3.connect(parent / "run" / "study.db") as database:
        assert database.execute("select count(*) from trials").fetchone() == (1,)
    (parent / "run" / "result.json").unlink()  # the resume goes on from the study
    before = (parent / "run" / "model.safetensors").read_bytes()
    run("resume", str(parent / "run"))
    assert (parent / "run" / "model.safetensors").read_bytes() == before
    assert json.loads((parent / "run" / "result.json").read_text(encoding="utf-8"))["status"] == "final"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["50% #cats?", parent.name]
    assert [path.name for path in parent.iterdir()] == ["run"]
