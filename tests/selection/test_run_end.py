"""The end of a run on a machine that became slower: predictions follow it, and the test is shortened in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from photos import write_crops

from advisor import advice
from advisor.records import Settings
from advisor.runtime import contention
from advisor.runtime.progress import Listener
from advisor.tuning import cost_model, policy


class SlowFrom(Listener):
    """Lets the machine seem a hundred thousand times slower from a stage on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
        self.monkeypatch, self.when = monkeypatch, stage

    def stage(self, text: str) -> None:
        """Slow the machine down."""
        if self.when in text:
            self.monkeypatch.setattr(contention, "measure", lambda cpu_s=0.1: 1e5)


def test_a_machine_that_becomes_slow_while_the_test_is_scored_evaluates_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half, a sample fixed by content, is scored alone; result, recipe, files and a rerun agree on it."""
    monkeypatch.setattr(policy, "MIN_TEST_IMAGES", 3)
    monkeypatch.setattr(policy, "TEST_PARTS_FROM_S", 0.0)

    class NoTimeForTheRest(Listener):
        def stage(self, text: str) -> None:
            """Let the end of the run take for ever from the test on."""
            if "evaluating" in text:
                monkeypatch.setattr(cost_model, "writing_s", lambda state: 1e6)

    crops = write_crops(tmp_path / "crops", classes=3, each=16, side_px=32)
    settings = Settings(
        data=str(crops), budget_s=300.0, trials=1, backbones=("pocket",), size_px=32, offline=True, threads=1,
        strategies=("ridge",),
    )  # fmt: skip
    result, rundir = advice.advise(settings, out=tmp_path / "run", listener=NoTimeForTheRest())
    assert result.test is not None
    assert result.test.n == 3  # of half of 9, one of each class
    assert any("only 3 of the 9 test images" in w for w in result.warnings)
    assert "test_sample: 3" in rundir.recipe.read_text(encoding="utf-8")
    monkeypatch.undo()
    from advisor.workflows import rerun, rerun_verify

    again = rerun.rerun_recipe(rundir.path, offline=True)
    assert rerun_verify.verify(again).startswith("identical")


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
