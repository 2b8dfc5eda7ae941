"""Where a model looks, and whether a small region decides: a pasted marker is found, clean images raise no alarm."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import write_crops
from PIL import Image
from torch import nn

from advisor import registry
from advisor.data import dataset, pixels
from advisor.heads import fit
from advisor.heads.linear_head import LinearHead
from advisor.hooks import Backbone, Preprocess, Stage
from advisor.insight import attention, overlay, shortcuts
from advisor.models import backbone as backbones
from advisor.models import features, pretrained_weights
from advisor.models.classifier import Classifier
from advisor.models.predictor import Predictor
from advisor.records import Head

SIDE, MARK = 64, 12


class Marked:
    """Two classes of crops of one photograph, told apart by nothing but a marker in every image of the second."""

    def __init__(self, folder: Path) -> None:
        data = dataset.read(write_crops(folder, classes=1, each=40, side_px=SIDE), test_split="none")
        self.labels = np.arange(40) % 2
        rule = pixels.PixelRule(SIDE, SIDE, "bilinear", "squash")
        self.squares = np.stack([pixels.decode((folder / item.path).read_bytes(), rule) for item in data.items])
        draws, self.corners = np.random.default_rng(0), np.zeros((40, 2), dtype=int)
        for row in np.flatnonzero(self.labels):
            top, left = draws.integers(0, SIDE - MARK, 2)
            self.corners[row] = top, left
            self.squares[row, top : top + MARK, left : left + MARK] = (250, 0, 250)
            self.squares[row, top : top + MARK, left + 4 : left + 8] = (0, 250, 0)
        self.model = model_of(self.squares, self.labels)


def model_of(squares: np.ndarray, labels: np.ndarray) -> Predictor:
    """Fit a ridge head on the built-in backbone."""
    backbone = registry.load().backbone("pocket")
    tensors = pretrained_weights.read(backbone, pretrained_weights.locate(backbone, offline=True))[0]
    body = backbones.build(backbone, tensors)
    values = features.extract_features(backbone, squares, module=body, size_px=SIDE)
    head = fit(Head(kind="ridge"), values, labels, int(labels.max()) + 1)
    return Predictor(
        classifier=Classifier(backbone, body, head),
        classes=("a", "b"),
        preprocess=dataclasses.replace(backbone.preprocess, size=SIDE, resize=SIDE),
        size_px=SIDE,
        fit="squash",
        temperature=1.0,
        description={"backbone": "pocket"},
    )


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    """The data and a model of them."""
    return Marked(tmp_path_factory.mktemp("marked") / "crops")


def classify(model: Predictor, squares: np.ndarray) -> np.ndarray:
    """Ask a model in small batches."""
    return np.asarray(model.logits(squares, sizes=[len(squares)]).argmax(axis=1))


def test_the_map_points_at_the_marker(marked: Marked) -> None:
    """For at least nine images in ten the warmest point lies in the marker, or within half a marker of it."""
    rows = np.flatnonzero(marked.labels)
    maps = attention.maps(marked.model, marked.squares[rows], marked.labels[rows])
    assert maps is not None
    assert maps.shape == (len(rows), SIDE, SIDE)
    assert maps.min() >= 0
    assert maps.max() <= 1
    peaks = np.array([np.unravel_index(int(one.argmax()), one.shape) for one in maps])
    inside = (peaks >= marked.corners[rows] - MARK // 2) & (peaks < marked.corners[rows] + MARK + MARK // 2)
    assert inside.all(axis=1).mean() >= 0.9


def test_a_marker_is_called_a_shortcut(marked: Marked) -> None:
    """Put into images of the other class it turns most of them into its own; the images without it turn none."""
    model, squares, labels = marked.model, marked.squares, marked.labels
    assert (classify(model, squares[:16]) == labels[:16]).all()
    own, others = np.flatnonzero(labels)[:8], np.flatnonzero(labels == 0)[:8]
    for label, mine, rest, expected in ((1, own, others, True), (0, others, own, False)):
        drawn = attention.maps(model, squares[mine], labels[mine])
        assert drawn is not None
        influence = shortcuts.measure(lambda s: classify(model, s), label, squares[mine], drawn, squares[rest])
        assert influence.is_shortcut is expected, influence


def test_clean_images_raise_no_alarm(tmp_path: Path) -> None:
    """Two different photographs are told apart by all of the image: no window carries the class over."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=16, side_px=SIDE), test_split="none")
    rule = pixels.PixelRule(SIDE, SIDE, "bilinear", "squash")
    squares = np.stack([pixels.decode((tmp_path / "crops" / i.path).read_bytes(), rule) for i in data.items])
    labels = np.array([item.label for item in data.items])
    model = model_of(squares, labels)
    for label in (0, 1):
        own, others = np.flatnonzero(labels == label)[:8], np.flatnonzero(labels != label)[:8]
        drawn = attention.maps(model, squares[own], labels[own])
        assert drawn is not None
        influence = shortcuts.measure(lambda s: classify(model, s), label, squares[own], drawn, squares[others])
        assert not influence.is_shortcut, influence


def test_layercam_of_one_convolution_is_its_formula() -> None:
    """With mean pooling and a linear head the gradient is known: relu(weights) times activations, summed and scaled."""
    torch.manual_seed(0)
    body, weight = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4)), torch.randn(3, 6)
    one = Backbone(
        name="one",
        weights=None,
        preprocess=Preprocess(size=32, resize=32),
        dim=6,
        stages=(Stage(name="only", prefixes=("0",)),),
        build=lambda: body,
        load_state=lambda module, tensors: None,
        run_stage=lambda module, i, x: module(x),
        pool=lambda module, i, x: x.mean(dim=(2, 3)),
    )
    classifier = Classifier(one, body, LinearHead(weight, torch.zeros(3)))
    images = torch.randn(2, 3, 32, 32)
    maps = attention.layer_cam(classifier, images, torch.tensor([2, 0]))
    assert maps is not None
    activation = body(images).detach()
    for at, label in enumerate((2, 0)):
        rise = (weight[label] - weight.mean(dim=0)).clamp(min=0)
        expected = (rise[:, None, None] * activation[at]).sum(dim=0).clamp(min=0)
        resized = nn.functional.interpolate((expected / expected.max())[None, None], (32, 32), mode="bilinear")[0, 0]
        assert torch.allclose(maps[at], resized / resized.max(), atol=1e-5)


def test_tokens_are_laid_out_on_their_grid() -> None:
    """A class token in front is left out; channels that come last are moved; vectors have no grid."""
    tokens = torch.arange(2 * 10 * 4.0).reshape(2, 10, 4)
    grid = attention._grid(tokens, 4)
    assert grid is not None
    assert grid.shape == (2, 4, 3, 3)
    assert torch.equal(grid[0, :, 0, 0], tokens[0, 1])
    last = attention._grid(torch.zeros(2, 5, 7, 4), 4)
    assert last is not None
    assert last.shape == (2, 4, 5, 7)
    assert attention._grid(torch.zeros(2, 4), 4) is None


def test_the_hottest_window_is_found() -> None:
    """By brute force over all windows."""
    one = np.random.default_rng(1).random((20, 20))
    sums = {(t, s): one[t : t + 5, s : s + 5].sum() for t in range(16) for s in range(16)}
    assert shortcuts.hottest(one, 5) == max(sums, key=lambda corner: sums[corner])


def test_a_picture_is_a_small_image(marked: Marked) -> None:
    """JPEG or PNG, no larger than asked, warm where the map is 1."""
    heat = np.zeros((SIDE, SIDE))
    heat[:32] = 1.0
    jpeg = overlay.picture(marked.squares[0], heat, side_px=32)
    assert Image.open(io.BytesIO(jpeg)).size == (32, 32)
    png = np.asarray(Image.open(io.BytesIO(overlay.picture(marked.squares[0], heat, form="PNG"))), dtype=int)
    assert (png[:32, :, 0] - png[:32, :, 2]).mean() > 40
    assert abs((png[33:, :, 0] - png[33:, :, 2]).mean()) < 30
