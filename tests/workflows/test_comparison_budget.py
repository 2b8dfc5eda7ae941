"""A budget makes arms shorter, never longer, and says what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest
from photos import write_crops

from advisor.errors import InputError
from advisor.records import Settings
from advisor.workflows import comparison_budget
from advisor.workflows.session import open_session


def test_epochs_follow_the_time(tmp_path: Path) -> None:
    """With time to spare the epochs stay as asked; with none the call is at fault; nothing of the session changes."""
    crops = write_crops(tmp_path / "crops", each=10, side_px=32)
    session = open_session(
        Settings(data=str(crops), backbones=("pocket",), size_px=32, offline=True, threads=1, test_split="none")
    )
    arms = ("pretrained", "scratch")
    assert comparison_budget.epochs_within(session, arms, epochs=2.0, batch=8, seconds=1e6) == 2.0
    with pytest.raises(InputError, match="2 arms need about"):
        comparison_budget.epochs_within(session, arms, epochs=2.0, batch=8, seconds=0.01)
    assert 0.2 <= comparison_budget.epochs_within(session, arms, epochs=900.0, batch=8, seconds=300.0) <= 900.0
