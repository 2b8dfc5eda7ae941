"""The models that ship: trained on all images where time allows, else the model that the search left behind."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from searches import TRAINED

from advisor.execution.worker import Worker
from advisor.records import Trial
from advisor.records.messages import Job, Refit, Refitted
from advisor.runtime import clock
from advisor.selection import final_models
from advisor.tuning import budget
from advisor.tuning.search_run import SearchRun


def test_with_time_the_model_is_trained_on_all_images(run: SearchRun, trained: Trial) -> None:
    """The refit is the rule."""
    refitted = final_models.train(run, trained, run.rundir.trials / "whole", reserve_s=1.0)
    assert refitted is not None
    assert refitted.folds == ()


def test_without_time_the_fold_s_own_model_ships_and_can_be_trained_again_to_the_bit(
    run: SearchRun, trained: Trial
) -> None:
    """The budget ends before the refit would: what ships says which fold it is of, and a rerun of that gives the same."""
    late = replace(run, clock=clock.Clock(600.0, used_before_s=599.0))
    folder = run.rundir.trials / "late"
    refitted = final_models.train(late, trained, folder, reserve_s=1.0)
    assert refitted is not None
    assert refitted.folds == (1,)
    assert refitted.seconds == pytest.approx(trained.seconds, abs=0.01)
    assert json.loads((folder / "model.json").read_text(encoding="utf-8"))["status"] == "final"
    again = run.worker.ask(
        Refit(candidate=TRAINED, seed=0, to=str(run.rundir.trials / "again"), temperature=1.0, folds=(1,)), Refitted
    )
    assert again.weights_sha256 == refitted.weights_sha256


def test_a_refit_that_is_seen_to_take_too_long_is_given_up_and_the_worker_lives(run: SearchRun, trained: Trial) -> None:
    """A prediction may be wrong by a factor: the steps themselves decide, and nothing has to be started again."""
    slow = replace(trained, candidate=replace(TRAINED, parameters={"epochs": 900.0}))
    tight = replace(run, clock=clock.Clock(600.0, used_before_s=590.0))
    speed = budget.Speed(ratio=1e-6, readings=1)
    tight.speeds = budget.MeasuredSpeeds(
        trainings={"partial": budget.Speeds({"pocket": speed})}
    )  # as if the machine had been a thousand times as fast
    process = run.worker.process
    refitted = final_models.train(tight, slow, run.rundir.trials / "slow", reserve_s=1.0)
    assert refitted is not None
    assert refitted.folds == (1,)
    assert run.worker.process is process
    assert process is not None
    assert process.poll() is None


def test_what_is_compared_with_a_fold_s_model_is_one_too(run: SearchRun, trained: Trial) -> None:
    """There would be time to train the default on all images, but the winner was left as its folds left it."""
    folder, reason = run.rundir.trials / "as_folds", final_models.LIKE_THE_WINNER
    refitted = final_models.train(run, trained, folder, reserve_s=1.0, not_refitted=reason)
    assert refitted is not None
    assert refitted.folds == (1,)
    assert reason in refitted.warning


def test_where_no_fold_s_model_is_wanted_nothing_ships(run: SearchRun, trained: Trial) -> None:
    """The untuned default is compared on all images or not at all."""
    late = replace(run, clock=clock.Clock(600.0, used_before_s=599.0))
    assert final_models.train(late, trained, run.rundir.trials / "none", reserve_s=1.0, allow_fold_model=False) is None


def test_what_an_earlier_process_wrote_is_taken_as_it_is(run: SearchRun, trained: Trial) -> None:
    """A resume trains nothing twice."""
    folder = run.rundir.trials / "twice"
    first = final_models.train(run, trained, folder, reserve_s=1.0)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert final_models.train(run, trained, folder, reserve_s=1.0) == first
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_worker_that_dies_with_the_refit_is_started_again(
    run: SearchRun, trained: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle of the refit, once: the whole refit is done all the same."""
    deaths, folder = dying(monkeypatch, times=1), run.rundir.trials / "again-whole"
    refitted = final_models.train(run, trained, folder, reserve_s=1.0)
    assert (deaths, refitted and refitted.folds) == ([0], ())
    assert (folder / "model.safetensors").is_file()


def test_a_worker_that_dies_with_every_refit_leaves_the_fold_s_model(
    run: SearchRun, trained: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for all images is not there: what the search left ships, and the reason is said."""
    deaths = dying(monkeypatch, times=2)
    refitted = final_models.train(run, trained, run.rundir.trials / "died", reserve_s=1.0)
    assert refitted is not None
    assert (deaths, refitted.folds) == ([1, 0], (1,))
    assert "killed by signal 9" in refitted.warning
    dying(monkeypatch, times=2)
    assert final_models.train(run, trained, run.rundir.trials / "gone", reserve_s=1.0, allow_fold_model=False) is None


def dying(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Kill the worker that is handed a refit, so many times; gives how many deaths were left at each."""
    post, deaths = Worker.post, list[int]()

    def deadly(worker: Worker, job: Job) -> None:
        post(worker, job)
        if isinstance(job, Refit) and len(deaths) < times:
            deaths.append(times - len(deaths) - 1)
            assert worker.process is not None
            worker.process.kill()

    monkeypatch.setattr(Worker, "post", deadly)
    return deaths
