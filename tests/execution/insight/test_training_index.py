"""The index of training images: false alarms on test images of few groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from opened import resources_of
from photos import write_crops

from advisor.data import dataset
from advisor.execution import refit
from advisor.execution.insight import training_index
from advisor.execution.resources import Resources
from advisor.metrics import intervals, novelty
from advisor.models import predictor
from advisor.records import Candidate
from advisor.records.insight_messages import IndexTraining
from advisor.records.messages import Refit

RIDGE = Candidate(backbone="pocket", strategy="ridge", parameters={"layers": "last"}, size_px=32)
SCENES = np.repeat(np.arange(6), 10)


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """Forty crops in two classes, opened as a worker does."""
    data = dataset.read(write_crops(tmp_path_factory.mktemp("data") / "crops", classes=2, each=20, side_px=32))
    return resources_of(data)


def test_the_interval_counts_images_of_a_scene_once(resources: Resources, tmp_path: Path) -> None:
    """Sixty test images of six scenes say less than sixty images; the model keeps the scenes for what `predict` states."""
    refit.refit(resources, Refit(candidate=RIDGE, seed=0, to=str(tmp_path), temperature=1.0), lambda progress: None)
    width = predictor.load(tmp_path, resources.registry).feature_width
    features = np.repeat(np.random.default_rng(0).standard_normal((6, width)), 10, axis=0).astype(np.float16)
    job = IndexTraining(folder=str(tmp_path), seed=0, test_features=str(tmp_path / "test.npz"))
    np.savez(tmp_path / "test.npz", features=features, feature_groups=SCENES)
    unlike = training_index.build(resources, job, lambda progress: None).unlike
    index = predictor.load(tmp_path, resources.registry).index
    assert unlike is not None
    assert index is not None
    assert (unlike.held_out, len(np.unique(index.group_M))) == (60, 6)
    flagged = np.arange(60) < novelty.false_alarms(index, unlike.rate)[0]
    assert unlike.ci95 == pytest.approx(intervals.grouped_wilson(flagged, SCENES))
    np.savez(tmp_path / "test.npz", features=features)  # as earlier versions wrote it
    earlier = training_index.build(resources, job, lambda progress: None).unlike
    assert earlier is not None
    assert earlier.ci95 == intervals.wilson(int(flagged.sum()), 60) != unlike.ci95
