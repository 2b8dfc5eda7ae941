"""Paths that the system refuses: one line and exit code 2, whichever command takes them."""

from __future__ import annotations

from pathlib import Path

import commands
import pytest

import advisor
from advisor.cli import _failures
from advisor.errors import InputError

LONG = "n" * 300


@pytest.mark.parametrize(
    "call",
    [
        ("predict", LONG, "."),
        ("serve", LONG),
        ("evaluate", LONG, "."),
        ("label-next", LONG, "."),
        ("export", LONG),
        ("distill", LONG),
        ("rerun", LONG),
        ("rerun", f"{LONG}/recipe.yaml"),
        ("resume", LONG),
        ("show", LONG),
        ("open", LONG, "--print"),
        ("runs", LONG),
        ("inspect", f"./{LONG}"),
        ("advise", f"./{LONG}"),
        ("compare", LONG),
        ("fewshot", LONG),
        ("lr-find", LONG),
        ("cache", "clear", LONG),
    ],
    ids=lambda call: call[0],
)
def test_a_name_that_no_file_system_takes_is_a_call_at_fault(
    call: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pasted sentence in the place of a run or a data set is no bug, and no full disk."""
    monkeypatch.chdir(tmp_path)
    line = commands.run(*call, code=2).stderr
    assert line.startswith("error: ")
    assert "disk full" not in line


def test_the_python_interface_raises_an_input_error() -> None:
    """Also where the run is the folder of a file."""
    for call in (advisor.load, advisor.load_result, advisor.rerun):
        with pytest.raises(InputError):
            call(f"{LONG}/recipe.yaml")
        with pytest.raises(InputError):
            call(LONG)


def test_a_folder_that_may_not_be_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is wrong with the disk or with memory."""
    assert _failures.fail_of_system(PermissionError(13, "Permission denied", "runs/run1/run.json")) == 2
    assert "runs/run1/run.json: cannot be used (Permission denied)" in " ".join(capsys.readouterr().err.split())
