"""advisor.training.random_crop: boxes of whole pixels inside the canvas, cut as torchvision cuts them, or as sampling maps."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms.v2 import functional as reference

from advisor.training import augmentation, random_crop


def test_boxes_stay_inside_and_keep_their_share() -> None:
    """Random boxes lie inside the image, keep at least the share of area asked for, and have photos' aspect ratios."""
    boxes = random_crop.draw(np.random.default_rng(0).random((5000, 5)), 0.35, 256)
    width, height = boxes.width / 256, boxes.height / 256
    assert np.all(boxes.left >= 0)
    assert np.all(boxes.top >= 0)
    assert np.all(boxes.left + boxes.width <= 256)
    assert np.all(boxes.top + boxes.height <= 256)
    assert np.quantile(width * height, 0.001) > 0.3
    assert np.all(width / height < 4 / 3 + 0.02)
    assert abs(boxes.mirrored.mean() - 0.5) < 0.03


def test_a_tiny_canvas_still_has_a_box() -> None:
    """One pixel is the smallest box."""
    boxes = random_crop.draw(np.random.default_rng(0).random((50, 5)), 0.01, 2)
    assert boxes.width.min() == boxes.height.min() == 1
    assert np.all(boxes.left + boxes.width <= 2)


def test_cutting_is_crop_resize_and_mirror() -> None:
    """Every image gets torchvision's resized crop of its own box; the canvases stay as they were."""
    draws = np.random.default_rng(1).random((6, 5))
    canvases = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8))
    before = canvases.clone()
    boxes = random_crop.draw(draws, 0.35, 40)
    for row, ours in enumerate(random_crop.cut(canvases, boxes, 32)):
        box = [int(v[row]) for v in (boxes.top, boxes.left, boxes.height, boxes.width)]
        theirs = reference.resized_crop(canvases[row].permute(2, 0, 1), *box, [32, 32], antialias=True)
        assert torch.equal(ours.permute(2, 0, 1), theirs.flip(-1) if boxes.mirrored[row] else theirs)
    assert torch.equal(canvases, before)


def test_maps_point_at_the_same_boxes() -> None:
    """Resampling with the maps shows what cutting shows, up to antialiasing and rounding, on a smooth picture."""
    ramp = torch.linspace(0, 255, 64).to(torch.uint8)
    canvases = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), ramp.flip(0).expand(64, 64)], -1)
    canvases = canvases.expand(8, 64, 64, 3).contiguous()
    boxes = random_crop.draw(np.random.default_rng(4).random((8, 5)), 0.35, 64)
    cut = random_crop.cut(canvases, boxes, 48).permute(0, 3, 1, 2).float()
    resampled = augmentation.resample(canvases, random_crop.maps(boxes, 64), 48)
    assert (cut - resampled)[:, :, 2:-2, 2:-2].abs().max() < 3.0
