"""What is shown while a run works."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from advisor.cli._live_progress import LiveProgress
from advisor.runtime.clock import Clock


def test_a_run_by_trials_says_how_long_it_will_take_and_shows_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as a line, with what it may grow to; the view shows what was predicted last."""
    screen, text = LiveProgress(), io.StringIO()
    screen.console = Console(file=text, width=120)
    screen.started(Clock(None))
    screen.predicted(480.0, 700.0)
    screen.predicted(300.0, 310.0)
    assert text.getvalue().split("\n")[0] == "predicted time for the rest: about 8 min, up to 11 min 40 s"
    assert text.getvalue().count("predicted") == 1
    view = Console(file=io.StringIO(), width=120, record=True)
    view.print(screen)
    assert "about 5 min left (predicted)" in view.export_text()
