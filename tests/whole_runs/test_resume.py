"""Data that change between a run and its resume, or while a run goes on; budgets that are exceeded; options of resume."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from listeners import AtStage
from photos import write_crops

from advisor import advice
from advisor.cli import run as run_command
from advisor.errors import DatasetError, InputError, Interrupted
from advisor.records import Settings, Trial
from advisor.reporting import wording
from advisor.runtime.progress import Listener

FAST = {"backbones": ("pocket",), "size_px": 32, "offline": True, "threads": 1, "strategies": ("logistic",)}


class Interrupting(Listener):
    """Stops the run after its first trial, as a person would."""

    def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
        """Interrupt after a trial; probes have negative numbers."""
        if trial.number >= 0:
            raise KeyboardInterrupt


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Thirty-six crops in three classes, ten of them in the test set."""
    return write_crops(tmp_path / "crops", classes=3, each=12, side_px=32)


def files_of(crops: Path, out: Path, split: str) -> list[Path]:
    """List the images of one split of a run, "train" or "test"."""
    rows = [line.split(",") for line in (out / "splits.csv").read_text(encoding="utf-8").splitlines()[1:]]
    return [crops / row[0] for row in rows if row[2] == split]


def test_a_resume_on_changed_data_is_refused(crops: Path, tmp_path: Path) -> None:
    """One line says how many files differ and which first; with the data restored the run ends, on fewer threads too."""
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        advice.advise(Settings(data=str(crops), trials=2, budget_s=None, **FAST), out=out, listener=Interrupting())
    file = files_of(crops, out, "test")[0]
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(DatasetError, match=r"1 file differs, first: .*\(removed\)") as error:
        advice.resume(out)
    assert "start a new run" in error.value.hint
    file.write_bytes(content)
    shutil.copy(file, file.with_name("zz-copy.jpg"))
    with pytest.raises(DatasetError, match=r"zz-copy.jpg \(added\)"):
        advice.resume(out)
    file.with_name("zz-copy.jpg").unlink()
    result, _ = advice.resume(out, threads=1, device_name="cpu", offline=True)
    assert result.status == "final"


def test_a_relative_data_path_is_looked_for_beside_the_run(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes on from any folder, as `rerun` does; where the data are nowhere, the path is named."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Interrupted):
        advice.advise(
            Settings(data=crops.name, trials=1, budget_s=None, **FAST), out=Path("run"), listener=Interrupting()
        )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    crops.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="no such folder: crops"):
        advice.resume(tmp_path / "run")
    (tmp_path / "moved").rename(crops)
    assert advice.resume(tmp_path / "run")[0].status == "final"


@pytest.mark.parametrize(("stage", "split"), [("re-evaluating", "train"), ("refitting", "test")])
def test_files_that_change_during_a_run_stop_it_before_the_test(
    crops: Path, tmp_path: Path, stage: str, split: str
) -> None:
    """A training image that changes before the refit or the test, and a test image before the test, are noticed."""
    out = tmp_path / "run"

    def change() -> None:
        file = files_of(crops, out, split)[0]
        state = file.stat()
        file.write_bytes(file.read_bytes() + b"\0")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))

    settings = Settings(data=str(crops), trials=1, budget_s=None, **FAST)
    with pytest.raises(DatasetError, match=r"changed during the run: 1 file differs, first: .*\(changed\)"):
        advice.advise(settings, out=out, listener=AtStage(stage, change))
    assert not (out / "test.json").exists()
    assert json.loads((out / "result.json").read_text(encoding="utf-8"))["status"] == "provisional"


def test_a_run_over_its_budget_states_one_figure_everywhere(crops: Path, tmp_path: Path) -> None:
    """Result, report and terminal state the same excess, and a warning names it; within the budget there is none."""
    result, rundir = advice.advise(Settings(data=str(crops), budget_s=0.1, **FAST), out=tmp_path / "run")
    assert result.budget.over_s == pytest.approx(result.budget.used_s - 0.1, abs=0.011)
    (warning,) = [w for w in result.warnings if "exceeded its budget" in w]
    assert f"{result.budget.over_s:.1f} s" in warning
    written = json.loads((rundir.path / "result.json").read_text(encoding="utf-8"))
    used = {"asked_s": 0.1, "used_s": result.budget.used_s, "over_s": result.budget.over_s, "predicted_s": None}
    assert written["budget"] == used
    assert wording.time_used(result.budget) in (rundir.path / "report.html").read_text(encoding="utf-8")


def test_resume_refuses_what_could_change_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seed, budget and the like cannot be changed: exit 2 and one line."""
    assert run_command(["resume", str(tmp_path), "--seed", "3"]) == 2
    assert "--seed is not an option of resume" in capsys.readouterr().err


def test_a_finished_run_is_resumed_where_nothing_can_be_written(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its result is read and nothing else touched; an unfinished run there is refused in one line, as an output at fault."""
    out = tmp_path / "run"
    advice.advise(Settings(data=str(crops), trials=1, budget_s=None, **FAST), out=out)
    shutil.rmtree(out / "trials")
    (out / "lock").unlink(missing_ok=True)
    (out / "lock").mkdir()  # nobody can open it for writing, not even an administrator
    out.chmod(0o555)
    try:
        assert run_command(["resume", str(out), "--quiet"]) == 0
        assert not (out / "trials").exists()
        out.chmod(0o755)
        (out / "result.json").unlink()
        out.chmod(0o555)
        capsys.readouterr()
        assert run_command(["resume", str(out), "--quiet"]) == 2
        error = capsys.readouterr().err
        assert "cannot be written" in error
        assert "Make the run's folder writable" in error
    finally:
        out.chmod(0o755)
