"""Frozen candidates: what the search knew of its end survives a resume, and nothing else is tested than what was frozen."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import faulty_plugins
import pytest
from listeners import AtStage
from photos import write_crops

from advisor import advice
from advisor.errors import InputError, Interrupted
from advisor.records import Regime, Settings, Trial, Verdict
from advisor.runtime import json_records
from advisor.selection import frozen_candidates
from advisor.selection.frozen_candidates import FrozenCandidates
from advisor.tuning.search_run import SearchRun


def test_a_winner_that_fails_after_a_resume_leaves_the_story_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the first refit, resumed, and the winner cannot be refitted: why the search had ended is not forgotten."""
    crops = write_crops(tmp_path / "crops", classes=2, each=12, side_px=48)
    fast = {"backbones": ("good",), "plugins_blocked": ("strategies",), "size_px": 32, "offline": True, "threads": 1}

    def stop() -> None:
        raise KeyboardInterrupt

    with faulty_plugins.installed(tmp_path / "site"):
        monkeypatch.setenv("MENAGERIE", "bad_refit poor_head good")
        settings = Settings(data=str(crops), budget_s=None, trials=1, **fast)
        with pytest.raises(Interrupted):
            advice.advise(settings, out=tmp_path / "run", listener=AtStage("refitting the candidate", stop))
        result, _ = advice.resume(tmp_path / "run")
    assert result.best.strategy == "poor_head"
    assert result.stopped_because is not None
    assert result.budget.predicted_s is not None


def test_frozen_candidates_that_were_changed_or_lost_are_refused(run: SearchRun, trained: Trial) -> None:
    """Nothing else may be tested than what was frozen, and no search goes on after it: both would choose by the test."""
    verdict = Verdict(winner=0, default=None, ties=(), kept_default=False, reason="the only one")
    regime = Regime(name="partial", reason="asked", prior="partial")
    winner = replace(trained, fitted={"alpha": math.nan})
    frozen = FrozenCandidates(verdict=verdict, regime=regime, winner=winner, default=None, ties=())
    frozen = replace(frozen, digest=json_records.digest(frozen))
    assert not frozen_candidates.is_frozen(run)
    run.rundir.write("candidates.json", frozen)
    assert frozen_candidates.is_frozen(run)
    unused: Any = None
    assert frozen_candidates.judge(run, unused).digest == frozen.digest
    path = run.rundir.candidates
    path.write_text(path.read_text().replace('"winner": 0', '"winner": 1'))
    with pytest.raises(InputError, match=r"candidates.json: was changed after"):
        frozen_candidates.judge(run, unused)
    path.unlink()
    (run.rundir.trials / "final-winner").mkdir()
    with pytest.raises(InputError, match=r"candidates.json: is missing"):
        frozen_candidates.is_frozen(run)
