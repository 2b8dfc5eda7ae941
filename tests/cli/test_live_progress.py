"""What is shown while a run works."""

from __future__ import annotations

import dataclasses
import io

import pytest
import results
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


@pytest.mark.parametrize(
    ("objective", "why"), [(None, "lower log-loss: more reliable probabilities"), (0.2, "better by the objective")]
)
def test_a_best_trial_of_lower_accuracy_is_explained_by_what_decides(objective: float | None, why: str) -> None:
    """Under --objective no line says that the log-loss made a trial the best."""
    screen, text = LiveProgress(), io.StringIO()
    screen.console = Console(file=text, width=200)
    scored = sorted((t for t in results.trials() if t.state == "complete"), key=lambda t: -t.accuracy)
    first, second = (dataclasses.replace(t, objective=objective) for t in (scored[0], scored[-1]))
    screen.trial(first, first, 60.0)
    screen.trial(second, second, 60.0)
    assert f"best so far ({why})" in text.getvalue()
