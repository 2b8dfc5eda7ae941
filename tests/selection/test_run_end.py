"""The end of a run on a machine that became slower: predictions follow it, and the test is shortened in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from photos import write_crops

from advisor import advice
from advisor.records import Settings
from advisor.runtime import contention
from advisor.runtime.progress import Listener
from advisor.tuning import policy


class SlowFrom(Listener):
    """Lets the machine seem a hundred thousand times slower from a stage on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
        self.monkeypatch, self.when = monkeypatch, stage

    def stage(self, text: str) -> None:
        """Slow the machine down."""
        if self.when in text:
            self.monkeypatch.setattr(contention, "measure", lambda cpu_s=0.1: 1e5)


def test_a_machine_that_becomes_slow_before_the_test_evaluates_a_sample_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample has its least size, result, recipe and warning state it, and a rerun scores the same images."""
    monkeypatch.setattr(policy, "MIN_TEST_IMAGES", 6)
    monkeypatch.setattr(contention, "measure", lambda cpu_s=0.1: 1.0)
    crops = write_crops(tmp_path / "crops", classes=3, each=16, side_px=32)
    settings = Settings(
        data=str(crops), budget_s=120.0, trials=1, backbones=("pocket",), size_px=32, offline=True, threads=1,
        strategies=("ridge",),
    )  # fmt: skip
    result, rundir = advice.advise(settings, out=tmp_path / "run", listener=SlowFrom(monkeypatch, "refitting"))
    assert result.test is not None
    assert result.test.n == 6
    assert any("only 6 of the" in w for w in result.warnings)
    assert "test_sample: 6" in rundir.recipe.read_text(encoding="utf-8")
    monkeypatch.undo()
    from advisor.workflows import rerun, rerun_verify

    again = rerun.rerun_recipe(rundir.path, offline=True)
    assert rerun_verify.verify(again).startswith("identical")
