"""The speeds that a search measured outlive its process, on the machine that they were measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import searches
from photos import write_crops

from advisor import advice
from advisor.errors import Interrupted
from advisor.records import Profile, Result, Settings, Trial
from advisor.records.result import Environment
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.selection import conclusion
from advisor.tuning.budget import MeasuredSpeeds
from advisor.tuning.search_run import SearchRun
from advisor.tuning.trials import speeds_file

HERE = Environment(versions={}, device="cpu", model="some processor", threads=1, precision="fp32", layout="")


def measured() -> MeasuredSpeeds:
    """Readings of a slow machine that became three times as busy."""
    speeds = MeasuredSpeeds(decode_s=0.2, first_contention=1.5)
    speeds.observe_pass("pocket", 1.0, 40.0)
    speeds.observe_training("partial", "pocket", 1.0, 60.0)
    return replace(speeds, slowdown=3.0)


def test_a_resumed_search_goes_on_with_what_was_measured(tmp_path: Path) -> None:
    """The readings stay, as of the first probe; how busy the machine is now is measured, not remembered."""
    with searches.on_crops(tmp_path) as run:
        speeds_file.write(run.rundir, speeds_file.machine(HERE), measured())
        run.read_speeds(HERE)
        assert replace(run.speeds, slowdown=3.0) == measured()
        assert run.speeds.slowdown != 3.0
        assert run.first_contention == 1.5
        run.read_speeds(replace(HERE, versions={"torch": "0"}))
        assert run.speeds.passes.ratio("pocket") == 40.0


@pytest.mark.parametrize("change", [{"threads": 2}, {"device": "cuda"}, {"model": "another"}])
def test_speeds_of_another_machine_say_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    """Other threads, another device or processor: measured anew."""
    rundir = RunDir(tmp_path)
    speeds_file.write(rundir, speeds_file.machine(HERE), measured())
    assert speeds_file.read(rundir, speeds_file.machine(replace(HERE, **change))) == MeasuredSpeeds()


@pytest.mark.parametrize("old", ["", "40.0", "0.2", '"passes"'])
def test_a_missing_or_damaged_file_means_defaults(tmp_path: Path, old: str) -> None:
    """Cut off, negative, or with a field of another name."""
    rundir, on = RunDir(tmp_path), speeds_file.machine(HERE)
    assert speeds_file.read(rundir, on) == MeasuredSpeeds()
    speeds_file.write(rundir, on, measured())
    path = tmp_path / speeds_file.FILE
    text = path.read_text(encoding="utf-8")
    new = {"40.0": "-40.0", "0.2": "-0.2", '"passes"': "5"}
    path.write_text(text.replace(old, new[old], 1) if old else text[: len(text) // 2], encoding="utf-8")
    assert speeds_file.read(rundir, on) == MeasuredSpeeds()


class Interrupting(Listener):
    """Stops the run as soon as a probe is written down."""

    def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
        """Interrupt."""
        raise KeyboardInterrupt


def test_a_run_that_is_resumed_has_the_speeds_of_its_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes are not made again, so that their pace and the seconds of decoding come from the first process."""
    crops, seen = write_crops(tmp_path / "crops", classes=3, each=12, side_px=32), []
    fast: dict[str, Any] = {"backbones": ("pocket",), "size_px": 32, "offline": True, "threads": 1}
    settings = Settings(data=str(crops), budget_s=600.0, trials=1, strategies=("logistic",), **fast)
    with pytest.raises(Interrupted):
        advice.advise(settings, out=tmp_path / "run", listener=Interrupting())
    conclude = conclusion.conclude

    def look(run: SearchRun, writer: Any, profile: Profile) -> Result:
        seen.append(run.speeds)
        return conclude(run, writer, profile)

    monkeypatch.setattr(conclusion, "conclude", look)
    assert advice.resume(tmp_path / "run")[0].status == "final"
    (speeds,) = seen
    assert speeds.passes.known("pocket")
    assert speeds.decode_s > 0
