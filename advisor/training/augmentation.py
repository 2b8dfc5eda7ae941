"""What a training image goes through on its way into the network: normalisation, crops, flips, TrivialAugment, mixing.

In: uint8 canvases (B, S, S, 3) on the device, image ids, a counter. Out: normalised float images_NCHW of `size_px`.
Every draw belongs to one image (`runtime.rng`), never to the batch. Crop and geometry are one resampling.
Does NOT cover: decoding and the resize rule (`data.pixels`), boxes (`random_crop`), colour operations
(`trivial_augment`), the order of images (`batch_sampler`).
Sources: mixup, Zhang et al. 2017 (1710.09412); CutMix, Yun et al. 2019 (1905.04899).
Shapes: B images, S side of a canvas, C channels, H = W = size_px, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from advisor.aliases import Float64s
from advisor.errors import InputError
from advisor.models.normalise import memory_format, normalise, standardise
from advisor.records.plan import AUGMENTATION_LEVELS, Augmentation, Preprocess
from advisor.runtime import rng
from advisor.training import random_crop, trivial_augment

if TYPE_CHECKING:
    import torch


def train_view(
    batch_NHWC: torch.Tensor,
    ids: npt.ArrayLike,
    step: int | npt.ArrayLike,
    seed: int,
    augmentation: Augmentation,
    size_px: int,
    preprocess: Preprocess,
    layout: str = "channels_last",
) -> torch.Tensor:
    """Draw one augmented, normalised view of every image: float32 (B, 3, size_px, size_px).

    Image n's view depends on (seed, step n, id n) and its pixels only; `step` is a counter for all, or one per image.
    Raises InputError where the level is unknown.
    """
    if augmentation.level not in AUGMENTATION_LEVELS:
        raise InputError(f"augmentation {augmentation.level!r}: expected one of {', '.join(AUGMENTATION_LEVELS)}.")
    draws = rng.uniform(seed, "view", step, ids, 8)
    level, side_px = augmentation.level, batch_NHWC.shape[1]
    if level in ("none", "flip"):
        squares_NHWC = centre(batch_NHWC, size_px)
        views_NHWC = squares_NHWC if level == "none" else random_crop.mirror(squares_NHWC, draws[:, 4] < 0.5)
        return normalise(views_NHWC, preprocess, layout)
    boxes = random_crop.draw(draws, augmentation.scale, side_px)
    if level == "light" and batch_NHWC.device.type == "cpu":
        return normalise(random_crop.cut(batch_NHWC, boxes, size_px), preprocess, layout)
    if level == "light":  # one resampling of a whole batch suits a GPU better than a call for each image
        images_NCHW = resample(batch_NHWC, random_crop.maps(boxes, side_px), size_px).div_(255.0)
    else:
        choice = trivial_augment.choose(draws[:, 5:8])
        images_NCHW = trivial_augment.colour(_shaped(batch_NHWC, boxes, choice, size_px).div_(255.0), choice)
    return standardise(images_NCHW, preprocess).contiguous(memory_format=memory_format(layout))


def _shaped(
    batch_NHWC: torch.Tensor, boxes: random_crop.Boxes, choice: trivial_augment.Choice, size_px: int
) -> torch.Tensor:
    """Cut the boxes, with the geometry that an image drew: float32 (B, 3, size_px, size_px), values as given."""
    import torch

    maps = random_crop.maps(boxes, batch_NHWC.shape[1]) @ trivial_augment.geometry(choice)
    if batch_NHWC.device.type != "cpu":
        return resample(batch_NHWC, maps, size_px)
    upright = random_crop.cut(batch_NHWC, boxes, size_px).permute(0, 3, 1, 2)
    images_NCHW = upright.to(torch.float32, memory_format=torch.contiguous_format)
    turned = trivial_augment.moves(choice)
    if turned.any():
        rows = torch.from_numpy(np.flatnonzero(turned))
        images_NCHW[rows] = resample(batch_NHWC[rows], maps[turned], size_px)
    return images_NCHW


def centre(batch_NHWC: torch.Tensor, size_px: int) -> torch.Tensor:
    """Cut the middle size_px x size_px out of square canvases, without copying."""
    side = batch_NHWC.shape[1]
    top = round((side - size_px) / 2.0)  # torchvision's rounding
    return batch_NHWC[:, top : top + size_px, top : top + size_px]


def resample(batch_NHWC: torch.Tensor, maps: Float64s, size_px: int) -> torch.Tensor:
    """Resample pixels (B, S, S, 3) to float32 (B, 3, size_px, size_px), values as given; borders are mirrored.

    `maps` (B, 3, 3) takes a position of the output to one of the input, both in -1..1 from edge to edge.
    """
    import torch
    from torch.nn import functional

    images_NCHW = batch_NHWC.permute(0, 3, 1, 2).to(torch.float32)
    theta = torch.as_tensor(maps, dtype=torch.float32, device=batch_NHWC.device)[..., None, None]  # (B, 3, 3, 1, 1)
    across = (torch.arange(size_px, dtype=torch.float32, device=batch_NHWC.device) * 2 + 1) / size_px - 1
    down = across[:, None]
    axes = [theta[:, i, 0] * across + (theta[:, i, 1] * down + theta[:, i, 2]) for i in (0, 1)]  # each (B, H, W)
    grid = torch.stack(axes, dim=-1)
    return functional.grid_sample(images_NCHW, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def mix(
    images_NCHW: torch.Tensor,
    targets_NK: torch.Tensor,
    ids: npt.ArrayLike,
    step: int | npt.ArrayLike,
    seed: int,
    augmentation: Augmentation,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend every image and its target with those of the batch's next image (mixup), or paste a box of it (CutMix).

    Where both are asked for, each image draws which one it gets. Targets are probabilities over K classes.
    """
    if not (augmentation.mixup or augmentation.cutmix) or len(images_NCHW) < 2:
        return images_NCHW, targets_NK
    import torch

    draws = rng.uniform(seed, "mix", step, ids, 4)
    cut = draws[:, 0] < (0.5 if augmentation.mixup and augmentation.cutmix else float(augmentation.cutmix > 0))
    share = np.where(cut, _beta(draws[:, 1], augmentation.cutmix), _beta(draws[:, 1], augmentation.mixup))
    boxes, uncut = _boxes(share, draws[:, 2:4], images_NCHW.shape[-1])
    share = np.where(cut, uncut, share)
    keep_N111 = torch.as_tensor(share, dtype=images_NCHW.dtype, device=images_NCHW.device).view(-1, 1, 1, 1)
    inside = torch.as_tensor(boxes & cut[:, None, None], device=images_NCHW.device)[:, None]
    cuts = torch.as_tensor(cut, device=images_NCHW.device).view(-1, 1, 1, 1)
    weight = torch.where(cuts, 1.0 - inside.to(images_NCHW.dtype), keep_N111)
    mixed = torch.lerp(images_NCHW.roll(-1, 0), images_NCHW, weight)
    return mixed, torch.lerp(targets_NK.roll(-1, 0), targets_NK, keep_N111.view(-1, 1).to(targets_NK.dtype))


def _beta(draws: Float64s, alpha: float) -> Float64s:
    """Turn uniform numbers into Beta(alpha, alpha) ones by the inverse distribution function."""
    if alpha <= 0:
        return np.ones_like(draws)
    from scipy.special import betaincinv

    inverse: Float64s = betaincinv(alpha, alpha, draws)
    return inverse


def _boxes(share: Float64s, centres: Float64s, side: int) -> tuple[npt.NDArray[np.bool_], Float64s]:
    """Return masks (B, side, side) of pasted boxes of area 1 - share, clipped at the edges, and what they leave."""
    half = np.sqrt(np.maximum(0.0, 1 - share)) * side / 2
    at = np.arange(side) + 0.5
    inside = np.abs(at[None, None, :] - (centres * side)[:, :, None]) < half[:, None, None]  # (B, 2, side)
    boxes = inside[:, 0, None, :] & inside[:, 1, :, None]
    return boxes, 1.0 - boxes.mean(axis=(1, 2))
