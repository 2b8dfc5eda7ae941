"""The pace of a training is looked at before its length is decided, once for its kind, and only where a clock runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import contests
import pytest

from advisor.records import Candidate
from advisor.records.messages import StepTime, TimeSteps
from advisor.runtime import clock
from advisor.tuning import cost_model, step_probe
from advisor.tuning.search_state import Contest

FULL = Candidate(backbone="pocket", strategy="full", parameters={"epochs": 10.0}, size_px=64)


@pytest.fixture
def contest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contest]:
    """A contest on real crops, ten minutes, nothing tried yet."""
    with contests.on_crops(tmp_path_factory.mktemp("pace")) as contest:
        yield contest


def test_the_first_training_of_a_kind_is_timed_and_no_second_one(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few real steps tell the pace; what is known is not asked again."""
    assert not cost_model.has_pace(contest, FULL)
    step_probe.look(contest, FULL)
    assert cost_model.has_pace(contest, FULL)
    assert cost_model.train_s(contest, FULL, contest.images) > 0
    monkeypatch.setattr(contest, "ask", lambda *anything: pytest.fail("asked twice"))
    step_probe.look(contest, replace(FULL, parameters={"epochs": 3.0}))


def test_without_a_clock_nothing_is_timed(contest: Contest) -> None:
    """Under --trials no decision depends on a speed."""
    unclocked = replace(contest, clock=clock.Clock(None), settings=replace(contest.settings, budget_s=None))
    step_probe.look(unclocked, FULL)
    assert not cost_model.has_pace(unclocked, FULL)


def test_a_look_that_would_take_a_good_part_of_the_time_is_not_taken(contest: Contest) -> None:
    """Eight steps of a large network may be all that the budget has."""
    contest.frozen.learn("pocket", 1.0, 1e6)
    step_probe.look(contest, FULL)
    assert not cost_model.has_pace(contest, FULL)


def test_a_training_that_fails_in_its_first_steps_leaves_that_to_its_trial(contest: Contest) -> None:
    """The reason belongs into a trial's record; the search goes on."""
    wrong = replace(FULL, parameters={"epochs": 40.0, "optimizer": "sgd", "sgd_rate": 1e30, "clip_norm": 0.0})
    step_probe.look(contest, wrong)
    assert not cost_model.has_pace(contest, wrong)


@pytest.mark.parametrize(
    ("strategy", "says"), [("full", True), ("gradual", False), ("partial", False), ("ridge", False)]
)
def test_only_steps_that_stand_for_all_others_are_timed(contest: Contest, strategy: str, says: bool) -> None:
    """Not a head, not the first of several phases, not a step that fills a cache."""
    candidate = Candidate(backbone="pocket", strategy=strategy, parameters={"epochs": 20.0} if says else {}, size_px=64)
    timed = contest.ask(TimeSteps(candidate=candidate, seed=0, warm=1, steps=2), StepTime)
    assert (timed.step_s > 0) is says
