"""What the sampler remembers between asks is what it would learn anew, and what it costs does not grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sleepers

from advisor.records import Candidate, Trial
from advisor.records.messages import RunTrial
from advisor.tuning.trials import sampler
from advisor.tuning.trials.study import Study

PLACES = [("pocket", 64)]


def memory() -> sampler.StudyMirror:
    """An empty memory."""
    return sampler.StudyMirror(3, PLACES, {"full": sleepers.Rates()}, sleepers.context)


def ended(number: int, candidate: Candidate) -> Trial:
    """Score a candidate; every fifth one fails."""
    order = RunTrial(number=number, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)
    trial = sleepers.scored(order)
    return Trial(number=number, candidate=candidate, regime="full", state="failed") if number % 5 == 4 else trial


def test_a_memory_that_is_kept_draws_as_one_that_is_made_anew() -> None:
    """Twenty draws one after another equal twenty draws that each start from nothing, other attempts in between."""
    mirror, begun, done = memory(), {}, {}
    for number in range(20):
        if number % 3 == 0:
            mirror.sample(begun, done, attempt=1)
        drawn = mirror.sample(begun, done)
        assert drawn == memory().sample(begun, done)
        begun[number], done[number] = drawn, ended(number, drawn)


def test_what_is_under_way_changes_the_draw_and_never_repeats_it() -> None:
    """With several workers each draw has a seed of its own and sees what the others are at."""
    mirror, begun, done = memory(), {}, {}
    for number in range(12):
        begun[number] = mirror.sample(begun, done)
        if number >= 3:  # three are always under way, and they end out of order
            late = number - 3 if number % 2 else number - 2
            for earlier in {late, number - 3}:
                done.setdefault(earlier, ended(earlier, begun[earlier]))
    assert len({repr(c.parameters) for c in begun.values()}) == 12
    assert mirror.sample(begun, done) == memory().sample(begun, done)


def test_only_the_newest_and_the_best_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the limit the mirror holds the newest trials and the best of all before; fewer trials are all there."""
    monkeypatch.setattr(sampler, "REMEMBERED", 20)
    monkeypatch.setattr(sampler, "BEST_REMEMBERED", 3)
    begun, done = {}, {}
    for number in range(70):
        parameters = {"rate": 0.01 * (number + 1), "depth": 2, "schedule": "step"}
        begun[number] = Candidate(backbone="pocket", strategy="full", parameters=parameters, size_px=64)
        done[number] = ended(number, begun[number])
    mirror = memory()
    mirror.sample(begun, done)
    best = sorted((t.log_loss, n) for n, t in done.items() if n < 40 and t.state == "complete")[:3]
    assert set(mirror._numbers) == {n for _, n in best} | set(range(40, 70))


class FromNumpy(sleepers.Rates):
    """Searches numpy's ranges and choices."""

    def space(self, trial: Any, context: object) -> dict[str, Any]:
        low, high = np.array([0.1, 1.0])
        return {
            "rate": trial.suggest_float("rate", low, high, log=True),
            "depth": trial.suggest_int("depth", np.int64(1), np.int64(3)),
            "width": trial.suggest_categorical("width", np.array([8, 16])),
        }


def test_ranges_of_numpy_can_be_written_down(tmp_path: Path) -> None:
    """A draw and its distributions enter the study, whose storage is JSON."""
    study = Study(tmp_path / "study.db", seed=3)
    mirror, begun = sampler.StudyMirror(3, PLACES, {"full": FromNumpy()}, sleepers.context), {}
    names = {"backbone": ["pocket"], "strategy": ["full"]}
    for number in range(3):
        begun[number] = mirror.sample(begun, {})
        shown = sampler.shown(begun[number], names, FromNumpy(), sleepers.context("pocket", 64))
        assert study.begin(begun[number], shown) == number
    assert Study(tmp_path / "study.db", seed=3).candidates() == list(begun.values())
    assert "full.width" in study.study.get_trials()[0].params


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"rate": 5.0, "depth": 2, "schedule": "step"}, {"full.rate": 5.0, "full.depth": 2, "full.schedule": "step"}),
        ({"rate": 0.0, "depth": 99, "schedule": "none"}, {"full.depth": 99}),
        ({"rate": 0.1, "views": 8, "norm": "frozen"}, {"full.rate": 0.1, "full.views": 8.0}),
    ],
)
def test_a_dashboard_sees_the_parameters_as_they_are(
    parameters: dict[str, object], expected: dict[str, object]
) -> None:
    """A guess outside of the range widens it; what no distribution can hold is left out."""
    candidate = Candidate(backbone="pocket", strategy="full", parameters=parameters, size_px=64)
    names = {"backbone": ["pocket", "resnet18"], "strategy": ["full", "ridge"]}
    shown, distributions = sampler.shown(candidate, names, sleepers.Rates(), sleepers.context("pocket", 64))
    assert shown == {"size_px": 64, "backbone": "pocket", "strategy": "full", **expected}
    assert shown.keys() == distributions.keys()
