"""TrivialAugment, batched: every image draws one operation and one strength; geometry as matrices, colours as tensors.

In: three uniform draws per image. Out: affine matrices that `augmentation` composes with its crop, and colours changed.
Does NOT cover: crops and flips (`random_crop`), drawing (`runtime.rng`).
Source: Mueller and Hutter 2021 (2103.10158), the wide space as torchvision's TrivialAugmentWide states it, but with
shifts in proportion to the image (32 of 224 pixels), geometry about the centre, and mirrored instead of black borders.
Shapes: B images, C channels, H = W.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

GEOMETRY = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
COLOUR = ("brightness", "color", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize")
OPERATIONS = ("identity", *GEOMETRY, *COLOUR)
SHEAR, TRANSLATE, ROTATE_DEG, BLEND = 0.99, 2 * 32 / 224, 135.0, 0.99  # largest strengths; translate in units of -1..1
STEPS = 31  # strengths are drawn from a grid of this many
GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2 luma, as Pillow and torchvision have it


@dataclass(frozen=True)
class Choice:
    """What every image drew: an index into OPERATIONS, a strength 0..1 and a sign."""

    operation: npt.NDArray[np.int64]
    strength: npt.NDArray[np.float64]
    sign: npt.NDArray[np.float64]


def choose(draws: npt.NDArray[np.float64]) -> Choice:
    """Turn uniform draws (B, 3) into an operation, a strength and a sign for every image."""
    operation = (draws[:, 0] * len(OPERATIONS)).astype(np.int64)
    strength = np.floor(draws[:, 1] * STEPS) / (STEPS - 1)
    return Choice(operation, strength, np.where(draws[:, 2] < 0.5, -1.0, 1.0))


def geometry(choice: Choice) -> npt.NDArray[np.float64]:
    """Return (B, 3, 3): where an output position, in -1..1, is read from; the identity for colour operations."""
    maps = np.tile(np.eye(3), (len(choice.operation), 1, 1))
    for index, (operation, strength, sign) in enumerate(
        zip(choice.operation, choice.strength, choice.sign, strict=True)
    ):
        name = OPERATIONS[operation]
        if name == "shear_x":
            maps[index, 0, 1] = sign * strength * SHEAR
        elif name == "shear_y":
            maps[index, 1, 0] = sign * strength * SHEAR
        elif name == "translate_x":
            maps[index, 0, 2] = sign * strength * TRANSLATE
        elif name == "translate_y":
            maps[index, 1, 2] = sign * strength * TRANSLATE
        elif name == "rotate":
            angle = math.radians(sign * strength * ROTATE_DEG)
            maps[index, :2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return maps


def moves(choice: Choice) -> npt.NDArray[np.bool_]:
    """Return which images drew an operation that moves pixels."""
    first = OPERATIONS.index(GEOMETRY[0])
    return (choice.operation >= first) & (choice.operation < first + len(GEOMETRY))


def colour(images_NCHW: torch.Tensor, choice: Choice) -> torch.Tensor:
    """Apply each image's colour operation, if it drew one; pixels in 0..1 stay in 0..1. Overwrites its argument."""
    import torch

    for name in COLOUR:
        chosen = np.flatnonzero(choice.operation == OPERATIONS.index(name))
        if len(chosen):
            rows = torch.as_tensor(chosen, device=images_NCHW.device)
            amount = torch.as_tensor(
                (choice.strength * choice.sign if name in COLOUR[:4] else choice.strength)[chosen],
                dtype=images_NCHW.dtype,
                device=images_NCHW.device,
            ).view(-1, 1, 1, 1)
            images_NCHW[rows] = _OPERATION[name](images_NCHW[rows], amount).clamp_(0.0, 1.0)
    return images_NCHW


def _blend(other: torch.Tensor, images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return other + (images - other) * (1.0 + BLEND * amount)


def _grey(images: torch.Tensor) -> torch.Tensor:
    return (images * images.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _brightness(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return images * (1.0 + BLEND * amount)


def _color(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return _blend(_grey(images), images, amount)


def _contrast(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return _blend(_grey(images).mean((2, 3), keepdim=True), images, amount)


def _sharpness(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    rows = (
        images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    )  # slices: a grouped convolution takes 14 times longer
    box = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = images.clone()  # the outermost pixels have no neighbours and stay as they are
    smooth[:, :, 1:-1, 1:-1] = (box + 4.0 * images[:, :, 1:-1, 1:-1]) / 13.0
    return _blend(smooth, images, amount)


def _posterize(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    bits = 8.0 - (amount * 6.0).round()
    width = 2.0 ** (8.0 - bits)
    return ((images * 255.0).round() / width).floor() * width / 255.0


def _solarize(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(images >= 1.0 - amount, 1.0 - images, images)


def _autocontrast(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high - low < 1e-6  # a channel of one value has no contrast to stretch
    return ((images - low) / (high - low).masked_fill(flat, 1.0)).where(~flat, images)


def _equalize(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    import torch

    levels = (images * 255.0).round().long().flatten(2)  # (B, 3, H * W)
    counts = torch.zeros((*levels.shape[:2], 256), dtype=torch.long, device=images.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    last = counts.flip(2).ne(0).float().argmax(2, keepdim=True)  # from the end: the highest level that occurs
    step = (counts.sum(2, keepdim=True) - counts.gather(2, 255 - last)) // 255
    table = (counts.cumsum(2) - counts + step // 2) // step.clamp(min=1)
    equal = table.clamp(0, 255).gather(2, levels).view_as(images).to(images.dtype) / 255.0
    return equal.where((step > 0).unsqueeze(-1), images)


_OPERATION = {
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
