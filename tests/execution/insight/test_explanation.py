"""What a worker measures of the data at a run's end: the map of features, and where the final model looks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from opened import resources_of
from photos import write_crops
from PIL import Image

from advisor.data import dataset
from advisor.execution import refit
from advisor.execution.insight import explanation, feature_map
from advisor.execution.resources import Resources
from advisor.records import Candidate
from advisor.records.insight_messages import Explain, MapFeatures
from advisor.records.messages import Refit

RIDGE = Candidate(backbone="pocket", strategy="ridge", parameters={"layers": "last"}, size_px=32)


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """Twenty-four crops in two classes, opened as a worker does."""
    data = dataset.read(
        write_crops(tmp_path_factory.mktemp("data") / "crops", classes=2, each=12, side_px=32), test_split="none"
    )
    return resources_of(data)


def test_every_image_has_a_place_and_neighbours_carry_other_labels(resources: Resources) -> None:
    """The map keeps the classes of two photographs apart; neighbours of a row are of the other class."""
    mapped = feature_map.measure(resources, MapFeatures(candidate=RIDGE, seed=0, rows=(0, 15)))
    assert [row for row, _, _ in mapped.points] == list(range(24))
    x = np.array([[x, y] for _, x, y in mapped.points])
    labels = resources.labels
    own = np.linalg.norm(x[labels == 0] - x[labels == 0].mean(axis=0), axis=1).mean()
    assert np.linalg.norm(x[labels == 0].mean(axis=0) - x[labels == 1].mean(axis=0)) > own
    for row, near in zip((0, 15), mapped.neighbours, strict=True):
        assert len(near) == 5
        assert all(labels[other] != labels[row] for other in near)


def test_principal_components_are_numpys() -> None:
    """Up to their sign, on either side of the smaller factorization; t-SNE only where there is time for it."""
    x = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    unit = unit - unit.mean(axis=0)
    u, s, _ = np.linalg.svd(unit, full_matrices=False)
    for rows in (60, 8):
        points, method = feature_map.lay_out(x[:rows], limit_s=0.0)
        assert method == "principal components"
        assert points.shape == (rows, 2)
    points, _ = feature_map.lay_out(x, limit_s=0.0)
    assert np.abs(points) == pytest.approx(np.abs((u * s)[:, :2]), abs=1e-4)


def test_mistakes_and_typical_images_are_drawn(resources: Resources, tmp_path: Path) -> None:
    """A small JPEG for each; the influence of each class is measured; without time the mistakes alone are drawn."""
    refit.refit(resources, Refit(candidate=RIDGE, seed=0, to=str(tmp_path), temperature=1.0), lambda progress: None)
    items = resources.job.items
    first, second = [tuple(i for i in items if i.label == label)[:5] for label in (0, 1)]
    job = Explain(folder=str(tmp_path), mistakes=items[-2:], predicted=(0, 0), typical=(first, second))
    explained = explanation.explain(resources, job, lambda progress: None)
    assert explained.attention is not None
    assert [one.label for one in explained.attention.classes] == ["class 0", "class 1"]
    assert {item.path for item in items[-2:]} <= set(explained.pictures)
    for one in explained.attention.classes:
        assert set(one.pictures) <= set(explained.pictures)
        assert one.images >= 4
        assert not one.shortcut
    for picture in explained.pictures.values():
        assert max(Image.open(io.BytesIO(picture)).size) <= explanation.SIDE_PX
    short = Explain(folder=str(tmp_path), mistakes=items[-2:], predicted=(0, 0), typical=(first, second), limit_s=0.0)
    assert explanation.explain(resources, short, lambda progress: None).attention is None
