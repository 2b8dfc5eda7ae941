"""What a checkpoint gives back: a killed trial goes on from it, and never mixes the trainings of two plans."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from short_trials import order, twelve_crops

from advisor.errors import OutOfMemoryError
from advisor.execution import timing, trial
from advisor.execution.resources import Resources
from advisor.training import loop


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    """Twelve crops in two classes, opened as a worker does."""
    return twelve_crops(tmp_path)


def test_what_ran_out_of_memory_is_trained_anew_at_half_the_batch(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fold ended at the whole batch: neither its score nor its model is part of the trial that is recorded."""
    job = replace(order(resources, 6), folds=(0, 1))
    job = replace(job, candidate=replace(job.candidate, parameters={**job.candidate.parameters, "batch": 8}))
    half = replace(job.candidate, parameters={**job.candidate.parameters, "batch": 4})
    expected = trial.run(resources, replace(job, number=1, candidate=half), lambda progress: None)
    through, folds = timing.steps_until, [-1]

    def full_in_the_second_fold(loop: loop.Loop, *more: object) -> float:
        folds[0] += loop.step == 0
        if loop.plan.batch == 8 and folds[0] == 1:
            raise OutOfMemoryError("the device is full")
        return through(loop, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(timing, "steps_until", full_in_the_second_fold)
    done = trial.run(resources, job, lambda progress: None)
    assert (done.state, done.candidate.parameters["batch"]) == ("complete", 4)
    assert (done.scores, done.curve) == (expected.scores, expected.curve)
    trials = Path(resources.job.run_dir) / "trials"
    first, second = ((trials / number / "model.safetensors").read_bytes() for number in ("00000", "00001"))
    assert first == second


@pytest.mark.parametrize("lost", ["nothing", "the first model", "the plan"])
def test_a_killed_trial_goes_on_to_the_models_of_one_that_was_not_killed(
    resources: Resources, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A fold that ended is not trained again, unless its model is gone or it was trained by another plan."""
    job = replace(order(resources, 6), folds=(0, 1))
    whole = trial.run(resources, job, lambda progress: None)
    trials = Path(resources.job.run_dir) / "trials"
    through, calls = timing.steps_until, [0]

    def killed_in_the_second_fold(*anything: object) -> float:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return through(*anything)  # type: ignore[arg-type]

    monkeypatch.setattr(timing, "steps_until", killed_in_the_second_fold)
    begun = replace(job, number=1)
    if lost == "the plan":
        parameters = {**job.candidate.parameters, "adam_rate": 1e-2}
        begun = replace(begun, candidate=replace(job.candidate, parameters=parameters))
    with pytest.raises(KeyboardInterrupt):
        trial.run(resources, begun, lambda progress: None)
    if lost == "the first model":
        shutil.rmtree(trials / "00001")
    done = trial.run(resources, replace(job, number=1), lambda progress: None)
    assert calls[0] == 4 + (3 if lost == "nothing" else 6)
    assert (done.state, done.scores, done.curve) == ("complete", whole.scores, whole.curve)
    for name in ("model.safetensors", "mixed/model.safetensors"):
        assert (trials / "00001" / name).read_bytes() == (trials / "00000" / name).read_bytes()
