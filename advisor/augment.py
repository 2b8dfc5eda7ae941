"""What a training image goes through on its way into the network: normalisation, crops, flips, TrivialAugment, mixing.

In: uint8 canvases (B, S, S, 3) on the device, image ids, a counter. Out: normalised float images_NCHW of `size_px`.
Every draw belongs to one image (`randomness`), never to the batch. All geometry is one affine resampling.
Does NOT cover: decoding and the resize rule (`pixels`), colour operations (`trivial`), the order of images (`stream`).
Sources: random resized crop, Szegedy et al. 2014 (1409.4842); mixup, Zhang et al. 2017 (1710.09412); CutMix, Yun et al.
2019 (1905.04899). Shapes: B images, S side of a canvas, C channels, H = W = size_px, K classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from advisor import randomness
from advisor.errors import InputError
from advisor.records.plan import Augmentation, Preprocess

if TYPE_CHECKING:
    import torch

LEVELS = ("none", "flip", "light", "trivial")
RATIO = (3 / 4, 4 / 3)  # aspect ratios of a random crop
Floats = npt.NDArray[np.float64]


def normalise(batch_NHWC: torch.Tensor, preprocess: Preprocess, layout: str = "channels_last") -> torch.Tensor:
    """Turn uint8 pixels (B, H, W, 3) into (x / 255 - mean) / std, float32 (B, 3, H, W) in the layout asked for."""
    import torch

    images_NCHW = batch_NHWC.permute(0, 3, 1, 2).to(torch.float32)  # still channels_last in memory
    images_NCHW = standardise(images_NCHW, preprocess, scale=255.0)
    return images_NCHW.contiguous(memory_format=memory_format(layout))


def standardise(images_NCHW: torch.Tensor, preprocess: Preprocess, *, scale: float = 1.0) -> torch.Tensor:
    """Map pixels in 0..scale to (x / scale - mean) / std; the argument may be overwritten."""
    mean = images_NCHW.new_tensor(preprocess.mean).view(1, 3, 1, 1)
    std = images_NCHW.new_tensor(preprocess.std).view(1, 3, 1, 1)
    return images_NCHW.mul_(1.0 / (scale * std)).sub_(mean / std)


def memory_format(layout: str) -> torch.memory_format:
    """Return torch's name of a layout ("channels_last" or "contiguous")."""
    import torch

    return torch.channels_last if layout == "channels_last" else torch.contiguous_format


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
    if augmentation.level not in LEVELS:
        raise InputError(f"augmentation {augmentation.level!r}: expected one of {', '.join(LEVELS)}.")
    draws = randomness.uniform(seed, "view", step, ids, 8)
    if augmentation.level in ("none", "flip"):
        images_NCHW = normalise(centre(batch_NHWC, size_px), preprocess, layout)
        return images_NCHW if augmentation.level == "none" else _flip(images_NCHW, draws[:, 4] < 0.5)
    from advisor import trivial

    maps = _crop_maps(draws, augmentation.scale)
    if augmentation.level == "trivial":
        choice = trivial.choose(draws[:, 5:8])
        maps = maps @ trivial.geometry(choice)
    images_NCHW = resample(batch_NHWC, maps, size_px).div_(255.0)
    if augmentation.level == "trivial":
        images_NCHW = trivial.colour(images_NCHW, choice)
    return standardise(images_NCHW, preprocess).contiguous(memory_format=memory_format(layout))


def centre(batch_NHWC: torch.Tensor, size_px: int) -> torch.Tensor:
    """Cut the middle size_px x size_px out of square canvases, without copying."""
    side = batch_NHWC.shape[1]
    top = round((side - size_px) / 2.0)  # torchvision's rounding
    return batch_NHWC[:, top : top + size_px, top : top + size_px]


def resample(batch_NHWC: torch.Tensor, maps: Floats, size_px: int) -> torch.Tensor:
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


def _flip(images_NCHW: torch.Tensor, chosen: npt.NDArray[np.bool_]) -> torch.Tensor:
    import torch

    rows = torch.as_tensor(np.flatnonzero(chosen), device=images_NCHW.device)
    images_NCHW[rows] = images_NCHW[rows].flip(-1)
    return images_NCHW


def _crop_maps(draws: Floats, scale: float) -> Floats:
    """Map -1..1 to a random box of `scale`..1 of the area, flipped half of the time, (B, 3, 3)."""
    area = scale + (1 - scale) * draws[:, 0]
    ratio = np.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * draws[:, 1])
    width = np.minimum(1.0, np.sqrt(area * ratio))
    height = np.minimum(1.0, np.sqrt(area / ratio))
    maps = np.zeros((len(draws), 3, 3))
    maps[:, 0, 0] = np.where(draws[:, 4] < 0.5, -width, width)
    maps[:, 1, 1] = height
    maps[:, 0, 2] = (1 - width) * (2 * draws[:, 2] - 1)
    maps[:, 1, 2] = (1 - height) * (2 * draws[:, 3] - 1)
    maps[:, 2, 2] = 1.0
    return maps


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

    draws = randomness.uniform(seed, "mix", step, ids, 4)
    cut = draws[:, 0] < (0.5 if augmentation.mixup and augmentation.cutmix else float(augmentation.cutmix > 0))
    share = np.where(cut, _beta(draws[:, 1], augmentation.cutmix), _beta(draws[:, 1], augmentation.mixup))
    boxes, kept = _boxes(share, draws[:, 2:4], images_NCHW.shape[-1])
    share = np.where(cut, kept, share)
    keep_N111 = torch.as_tensor(share, dtype=images_NCHW.dtype, device=images_NCHW.device).view(-1, 1, 1, 1)
    inside = torch.as_tensor(boxes & cut[:, None, None], device=images_NCHW.device)[:, None]
    cuts = torch.as_tensor(cut, device=images_NCHW.device).view(-1, 1, 1, 1)
    weight = torch.where(cuts, 1.0 - inside.to(images_NCHW.dtype), keep_N111)
    mixed = torch.lerp(images_NCHW.roll(-1, 0), images_NCHW, weight)
    return mixed, torch.lerp(targets_NK.roll(-1, 0), targets_NK, keep_N111.view(-1, 1).to(targets_NK.dtype))


def _beta(draws: Floats, alpha: float) -> Floats:
    """Turn uniform numbers into Beta(alpha, alpha) ones by the inverse distribution function."""
    if alpha <= 0:
        return np.ones_like(draws)
    from scipy.special import betaincinv

    inverse: Floats = betaincinv(alpha, alpha, draws)
    return inverse


def _boxes(share: Floats, centres: Floats, side: int) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Return masks (B, side, side) of pasted boxes of area 1 - share, clipped at the edges, and what they leave."""
    half = np.sqrt(np.maximum(0.0, 1 - share)) * side / 2
    at = np.arange(side) + 0.5
    inside = np.abs(at[None, None, :] - (centres * side)[:, :, None]) < half[:, None, None]  # (B, 2, side)
    boxes = inside[:, 0, None, :] & inside[:, 1, :, None]
    return boxes, 1.0 - boxes.mean(axis=(1, 2))
