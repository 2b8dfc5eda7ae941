"""The learning curve of the winner itself: trainings on parts of the images that each fold trains on, in the time there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from opened import resources_of
from photos import write_crops

from advisor.data import dataset
from advisor.errors import TooSlowError
from advisor.execution import timing, trial
from advisor.execution.insight import trained_curve
from advisor.execution.resources import Resources
from advisor.records import Candidate
from advisor.records.insight_messages import MeasureTrainedCurve
from advisor.records.messages import Progress, RunTrial

FULL = Candidate(backbone="pocket", strategy="full", parameters={"epochs": 4.0, "batch": 8}, size_px=32)


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """Sixty crops in two classes, opened as a worker does."""
    folder = tmp_path_factory.mktemp("trained")
    data = dataset.read(write_crops(folder / "crops", classes=2, each=30, side_px=32), test_split="none")
    (folder / "run" / "trials").mkdir(parents=True)
    return resources_of(data, folder / "run")


@pytest.fixture(scope="module")
def job(resources: Resources) -> MeasureTrainedCurve:
    """What is asked about a training that was scored on two folds."""
    asked = RunTrial(number=0, candidate=FULL, folds=(0, 1), repeat=0, seed=0, started_s=0.0)
    done = trial.run(resources, asked, quiet)
    assert done.state == "complete", done.error
    return MeasureTrainedCurve(candidate=FULL, seed=0, folds=(0, 1), predictions=done.predictions)


def quiet(progress: Progress) -> None:
    """Listen to nothing."""


def test_the_curve_ends_at_what_the_search_measured(resources: Resources, job: MeasureTrainedCurve) -> None:
    """The largest size is the folds' own, with the accuracy of the predictions that the search left; intervals hold means."""
    forecast = trained_curve.measure(resources, job, quiet).forecast
    assert forecast is not None
    assert (forecast.source, forecast.backbone, forecast.repeats, forecast.held_out) == ("full", "pocket", 2, 20)
    assert [at.images for at in forecast.measured] == [5, 10, 20, 40]
    assert [at.images for at in forecast.expected] == [60, 120, 240]
    with np.load(Path(resources.job.run_dir) / job.predictions) as saved:
        accuracy = (saved["logits"].argmax(1) == saved["labels"]).mean()
    assert forecast.measured[-1].accuracy == pytest.approx(accuracy)
    for at in (*forecast.measured, *forecast.expected):
        assert 0 <= at.ci95[0] <= at.accuracy <= at.ci95[1] <= 1


def test_the_same_seed_gives_the_same_forecast(resources: Resources, job: MeasureTrainedCurve) -> None:
    """Nothing but the seed draws, so that reruns of a counted search agree."""
    assert trained_curve.measure(resources, job, quiet) == trained_curve.measure(resources, job, quiet)


def test_it_is_given_up_where_it_is_too_slow(resources: Resources, job: MeasureTrainedCurve) -> None:
    """A limit that one training exceeds ends it at once."""
    with pytest.raises(TooSlowError):
        trained_curve.measure(resources, replace(job, limit_s=0.0), quiet)


def test_folds_that_ended_in_time_are_enough(
    resources: Resources, job: MeasureTrainedCurve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over in the second fold: the forecast stands on the first."""
    trained: list[int] = []

    def steps_until(loop: object, *rest: object, **options: object) -> float:
        trained.append(1)
        if len(trained) > 3:
            raise TooSlowError("late", needs_s=1.0)
        return original(loop, *rest, **options)  # type: ignore[arg-type]

    original = timing.steps_until
    monkeypatch.setattr(timing, "steps_until", steps_until)
    forecast = trained_curve.measure(resources, job, quiet).forecast
    assert forecast is not None
    assert (forecast.repeats, forecast.held_out) == (1, 20)
