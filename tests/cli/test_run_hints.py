"""A folder that holds a run is named for it: the error names the run, in every command that takes one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from photographs import photo, save

from advisor import cli, errors

FILES = ("result.json", "report.html", "recipe.yaml", "run.json", "model.json", "ensemble/ensemble.json")


def run_in(parent: Path, name: str, *, age_s: int = 0) -> Path:
    """Leave files with the names of a run's."""
    for file in FILES:
        path = parent / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (1e9 - age_s, 1e9 - age_s))
    return parent / name


@pytest.mark.parametrize(
    "call",
    [
        ["show", "{demo}"],
        ["open", "{demo}", "--print"],
        ["rerun", "{demo}"],
        ["resume", "{demo}"],
        ["predict", "{demo}", "{photo}", "--device", "cpu"],
        ["predict", "{demo}", "{photo}", "--device", "cpu", "--ensemble"],
        ["evaluate", "{demo}", "{demo}", "--device", "cpu"],
        ["label-next", "{demo}", "{photo}", "--device", "cpu"],
        ["export", "{demo}"],
        ["distill", "{demo}"],
    ],
    ids=" ".join,
)
def test_the_run_in_a_folder_is_named(call: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As for what `tl-advise demo` leaves: images, and a folder of runs."""
    demo, image = tmp_path / "the demo", save(photo(0), tmp_path / "a.jpg")
    (demo / "digits").mkdir(parents=True)
    run = run_in(demo / "tl-advise-runs", "digits-1")
    assert cli.run([word.format(demo=demo, photo=image) for word in call]) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"Did you mean {shlex.quote(str(run))}?")


def test_the_newest_of_several_is_named_and_a_missing_folder_is_said_to_be(tmp_path: Path) -> None:
    """Without a run inside the hint is the usual one."""
    assert errors.nearest_run(tmp_path, "run.json", "Name a run.") == "Name a run."
    run_in(tmp_path, "old", age_s=9)
    new = run_in(tmp_path, "new")
    run_in(tmp_path, "older", age_s=99)
    assert errors.nearest_run(tmp_path, "run.json", "") == f"Did you mean {new}, the newest of 3 runs in it?"
    assert "no such file or folder" in errors.nearest_run(tmp_path / "gone", "run.json", "Name a run.")
