"""The forecast of the winner itself: only where it trains the network and nothing else needs the time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import results
from searches import TRAINED

from advisor.records import Candidate, Result, Trial
from advisor.records.messages import RunTrial
from advisor.runtime import clock
from advisor.selection.measurements import trained_forecast
from advisor.tuning import budget, policy
from advisor.tuning.search_run import SearchRun


@pytest.fixture(scope="module")
def winner(run: SearchRun) -> Trial:
    """A recorded training that was scored on two folds."""
    number = run.begin(TRAINED)
    job = RunTrial(number=number, candidate=TRAINED, folds=(0, 1), repeat=0, seed=0, started_s=0.0)
    trial = run.worker.ask(job, Trial)
    assert trial.state == "complete", trial.error
    run.record_trial(trial)
    return trial


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighteen images held out by two folds may be scored."""
    monkeypatch.setattr(policy, "FORECAST_IMAGES", 18)


def counted(run: SearchRun) -> SearchRun:
    """Return the run as one that has no end in time."""
    settings = replace(run.facts.settings, budget_s=None, trials=9)
    return replace(run, facts=replace(run.facts, settings=settings), clock=clock.Clock(None))


def with_heads() -> Result:
    """Return a result whose forecast is from heads."""
    result = results.final()
    assert result.forecast is not None
    assert result.forecast.source == "heads"
    return result


@pytest.mark.usefixtures("few_are_enough")
def test_with_time_left_the_winner_is_trained_on_parts(run: SearchRun, winner: Trial) -> None:
    """The forecast names its strategy, and ends at the winner's own accuracy out of fold."""
    forecast = trained_forecast.replace_heads(with_heads(), run, winner).forecast
    assert forecast is not None
    assert (forecast.source, forecast.backbone, forecast.repeats) == ("partial", "pocket", 2)
    assert forecast.measured[-1].accuracy == pytest.approx(winner.accuracy)


@pytest.mark.usefixtures("few_are_enough")
def test_without_time_it_costs_nothing(run: SearchRun, winner: Trial) -> None:
    """Near the end of the budget, and in a short one, the heads' forecast stands and no training is begun."""
    before = with_heads()
    late = replace(run, clock=clock.Clock(600.0, used_before_s=594.0))
    short = replace(run, facts=replace(run.facts, settings=replace(run.facts.settings, budget_s=30.0)))
    slow = replace(winner, seconds=300.0)
    for one, trial in ((late, winner), (short, winner), (run, slow)):
        assert trained_forecast.replace_heads(before, one, trial) is before


@pytest.mark.usefixtures("few_are_enough")
def test_a_training_that_is_later_than_predicted_is_given_up_and_the_worker_lives(
    run: SearchRun, winner: Trial
) -> None:
    """The steps themselves decide: the limit holds though the prediction was wrong a hundredfold."""
    long = replace(winner, candidate=replace(TRAINED, parameters={"epochs": 3000.0}), seconds=1.0)
    facts = replace(run.facts, settings=replace(run.facts.settings, budget_s=80.0))  # of which it may take 12 s
    speed = budget.Speed(ratio=1e-6, readings=1)
    speeds = budget.MeasuredSpeeds(trainings={"partial": budget.Speeds({"pocket": speed})})
    process, before = run.worker.process, with_heads()
    assert trained_forecast.replace_heads(before, replace(run, facts=facts, speeds=speeds), long) is before
    last = json.loads((run.rundir.path / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["event"] == "forecast not trained"
    assert "that are left for it" in last["error"]
    assert run.worker.process is process
    assert process is not None
    assert process.poll() is None


@pytest.mark.usefixtures("few_are_enough")
def test_fewer_folds_where_not_all_fit(run: SearchRun, winner: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit for one fold's trainings asks for one fold, if that holds out enough images."""
    slow, rest_s = replace(winner, seconds=100.0), 90.0  # 50 s a fold: about 55 s for its parts, with the margin
    assert trained_forecast.plan_measurement(run, slow, rest_s) is None
    monkeypatch.setattr(policy, "FORECAST_IMAGES", 9)
    job = trained_forecast.plan_measurement(run, slow, rest_s)
    assert job is not None
    assert job.folds == (0,)


def test_too_few_images_are_left_to_heads(run: SearchRun, winner: Trial) -> None:
    """Eighteen validation images tell an accuracy to twenty points."""
    assert trained_forecast.plan_measurement(run, winner, 100.0) is None


def test_a_head_has_no_training_of_its_own(run: SearchRun, winner: Trial) -> None:
    """The heads' forecast is of it already."""
    head = replace(winner, candidate=Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=64))
    before = with_heads()
    assert trained_forecast.replace_heads(before, run, head) is before


@pytest.mark.usefixtures("few_are_enough")
def test_without_a_deadline_the_trainings_are_counted(
    run: SearchRun, winner: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share of the search's own trainings by cards decides, so that a slow machine and a fast one agree."""
    endless = counted(run)
    for seconds in (0.01, 10_000.0):
        assert trained_forecast.plan_measurement(endless, replace(winner, seconds=seconds), None) is None
    monkeypatch.setattr(policy, "FORECAST_SHARE", 1.0)
    for seconds in (0.01, 10_000.0):
        job = trained_forecast.plan_measurement(endless, replace(winner, seconds=seconds), None)
        assert job is not None
        assert (job.folds, job.limit_s) == ((0, 1), None)
