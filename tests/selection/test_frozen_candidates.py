"""Candidates that are frozen anew after a resume: what the search knew of its end is in the result all the same."""

from __future__ import annotations

from pathlib import Path

import faulty_plugins
import pytest
from listeners import AtStage
from photos import write_crops

from advisor import advice
from advisor.errors import Interrupted
from advisor.records import Settings


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
