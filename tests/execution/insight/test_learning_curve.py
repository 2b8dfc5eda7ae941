"""The learning curve that a worker measures: on the pool alone, in the time it has, or with the reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from opened import resources_of
from photos import write_crops

from advisor.data import dataset
from advisor.execution.insight import learning_curve
from advisor.execution.resources import Resources
from advisor.records import Candidate
from advisor.records.insight_messages import MeasureLearningCurve

RIDGE = Candidate(backbone="pocket", strategy="ridge", parameters={"layers": "last"}, size_px=32)


def opened(folder: Path, each: int) -> Resources:
    """Open crops of two classes as a worker does."""
    data = dataset.read(write_crops(folder, classes=2, each=each, side_px=32), test_split="none")
    return resources_of(data)


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """Forty crops in two classes."""
    return opened(tmp_path_factory.mktemp("data") / "crops", 20)


def test_the_curve_reaches_beyond_the_images(resources: Resources) -> None:
    """Measured on parts of the pool; expected for all of it, for twice and four times as many; intervals hold means."""
    forecast = learning_curve.measure(resources, MeasureLearningCurve(candidate=RIDGE, seed=0)).forecast
    assert forecast is not None
    assert [at.images for at in forecast.measured] == [4, 8, 15, 30]
    assert [at.images for at in forecast.expected] == [40, 80, 160]
    assert forecast.held_out == 10
    for at in (*forecast.measured, *forecast.expected):
        assert 0 <= at.ci95[0] <= at.accuracy <= at.ci95[1] <= 1
    assert forecast.expected[1].accuracy > 0.6  # two classes that any network tells apart


def test_the_same_seed_gives_the_same_forecast(resources: Resources) -> None:
    """Nothing but the seed draws."""
    job = MeasureLearningCurve(candidate=RIDGE, seed=3)
    assert learning_curve.measure(resources, job) == learning_curve.measure(resources, job)


def test_without_time_there_is_a_reason(resources: Resources) -> None:
    """A limit below one fit is not exceeded by five times as many fits."""
    measured = learning_curve.measure(resources, MeasureLearningCurve(candidate=RIDGE, seed=0, limit_s=0.0))
    assert measured.forecast is None
    assert "were left for it" in measured.reason


def test_too_few_images_have_no_curve(tmp_path: Path) -> None:
    """Seven images per class cannot be divided into eighths."""
    measured = learning_curve.measure(opened(tmp_path / "few", 7), MeasureLearningCurve(candidate=RIDGE, seed=0))
    assert measured.forecast is None
    assert measured.reason == "it needs 16 different training images, there are 14"
