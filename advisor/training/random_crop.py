"""Random resized crops: a box of whole pixels for every image, cut out and resized, flipped half of the time.

In: uniform draws per image, uint8 canvases (B, S, S, 3). Out: uint8 squares, on the CPU torchvision's own antialiased
resize, which is eight times as fast there as a resampling of floats; or the same boxes as maps for that resampling.
Does NOT cover: drawing (`runtime.rng`), colours and other geometry (`trivial_augment`), normalisation (`augmentation`).
Source: random resized crop, Szegedy et al. 2014 (1409.4842); boxes as torchvision's RandomResizedCrop rounds them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from advisor.aliases import Float64s, Rows

if TYPE_CHECKING:
    import torch

RATIO = (3 / 4, 4 / 3)  # aspect ratios of a random crop


@dataclass(frozen=True)
class Boxes:
    """What every image drew: the box in pixels of its canvas, and whether it is mirrored; all (B,)."""

    left: Rows
    top: Rows
    width: Rows
    height: Rows
    mirrored: npt.NDArray[np.bool_]


def draw(draws: Float64s, scale: float, side_px: int) -> Boxes:
    """Turn uniform draws (B, 5) into boxes of `scale`..1 of the area of a canvas, mirrored half of the time."""
    area = scale + (1 - scale) * draws[:, 0]
    ratio = np.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * draws[:, 1])
    width = np.clip(np.rint(np.sqrt(area * ratio) * side_px), 1, side_px).astype(np.int64)
    height = np.clip(np.rint(np.sqrt(area / ratio) * side_px), 1, side_px).astype(np.int64)
    left = np.floor(draws[:, 2] * (side_px - width + 1)).astype(np.int64)
    top = np.floor(draws[:, 3] * (side_px - height + 1)).astype(np.int64)
    return Boxes(left, top, width, height, draws[:, 4] < 0.5)


def cut(batch_NHWC: torch.Tensor, boxes: Boxes, size_px: int) -> torch.Tensor:
    """Cut every image's box out and resize it, antialiased and mirrored where it drew so: uint8 (B, size, size, 3)."""
    import torch
    from torch.nn import functional

    out_NHWC = torch.empty((len(batch_NHWC), size_px, size_px, 3), dtype=torch.uint8, device=batch_NHWC.device)
    images_NCHW = batch_NHWC.permute(0, 3, 1, 2)
    rows = zip(boxes.left.tolist(), boxes.top.tolist(), boxes.width.tolist(), boxes.height.tolist(), strict=True)
    for i, (left, top, width, height) in enumerate(rows):
        box = images_NCHW[i : i + 1, :, top : top + height, left : left + width]
        resized = functional.interpolate(box, size=(size_px, size_px), mode="bilinear", antialias=True)
        out_NHWC[i] = resized[0].permute(1, 2, 0)
    return mirror(out_NHWC, boxes.mirrored)


def mirror(squares_NHWC: torch.Tensor, chosen: npt.NDArray[np.bool_]) -> torch.Tensor:
    """Mirror the chosen images; the others stay, the argument is not changed."""
    import torch

    rows = torch.as_tensor(np.flatnonzero(chosen), device=squares_NHWC.device)
    out_NHWC = squares_NHWC.contiguous().clone()
    out_NHWC[rows] = squares_NHWC[rows].flip(2)
    return out_NHWC


def maps(boxes: Boxes, side_px: int) -> Float64s:
    """Return the same boxes as maps (B, 3, 3) from positions of the output to those of the canvas, both in -1..1."""
    affine_N33 = np.zeros((len(boxes.left), 3, 3))
    affine_N33[:, 0, 0] = np.where(boxes.mirrored, -boxes.width, boxes.width) / side_px
    affine_N33[:, 1, 1] = boxes.height / side_px
    affine_N33[:, 0, 2] = (2 * boxes.left + boxes.width) / side_px - 1
    affine_N33[:, 1, 2] = (2 * boxes.top + boxes.height) / side_px - 1
    affine_N33[:, 2, 2] = 1.0
    return affine_N33
