"""What a training image goes through on its way into the network: normalisation, crops, flips, TrivialAugment, mixing.

In: uint8 canvases (B, S, S, 3) on the device, image ids, a counter. Out: normalised float images_NCHW of `size_px`.
Every draw belongs to one image (`randomness`), never to the batch. Crop and geometry are one resampling.
Does NOT cover: decoding and the resize rule (`pixels`), boxes (`crops`), colour operations (`trivial`), the order of
images (`stream`). Sources: mixup, Zhang et al. 2017 (1710.09412); CutMix, Yun et al. 2019 (1905.04899).
Shapes: B images, S side of a canvas, C channels, H = W = size_px, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from advisor import crops, randomness, trivial
from advisor.errors import InputError
from advisor.records.plan import Augmentation, Preprocess

if TYPE_CHECKING:
    import torch

LEVELS = ("none", "flip", "light", "trivial")
Floats = npt.NDArray[np.float64]


def normalise(batch_NHWC: torch.Tensor, preprocess: Preprocess, layout: str = "channels_last") -> torch.Tensor:
    """Turn uint8 pixels (B, H, W, 3) into (x / 255 - mean) / std, float32 (B, 3, H, W) in the layout asked for."""
    import torch

    count, height, width, _ = batch_NHWC.shape
    mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
    # Whole rows of pixels at once: a factor for each of three channels alone is too short to be vectorised (a fifth of
    # the time, and the same bits).
    rows = batch_NHWC.to(torch.float32).reshape(count, height, width * 3)
    rows.mul_((1.0 / (255.0 * std)).repeat(width).to(rows.device)).sub_((mean / std).repeat(width).to(rows.device))
    images_NCHW = rows.view(count, height, width, 3).permute(0, 3, 1, 2)  # channels_last in memory
    return images_NCHW.contiguous(memory_format=memory_format(layout))


def standardise(images_NCHW: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    """Map pixels in 0..1 to (x - mean) / std; the argument is overwritten."""
    mean = images_NCHW.new_tensor(preprocess.mean).view(1, 3, 1, 1)
    std = images_NCHW.new_tensor(preprocess.std).view(1, 3, 1, 1)
    return images_NCHW.mul_(1.0 / std).sub_(mean / std)


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
    level, side_px = augmentation.level, batch_NHWC.shape[1]
    if level in ("none", "flip"):
        squares_NHWC = centre(batch_NHWC, size_px)
        seen = squares_NHWC if level == "none" else crops.mirror(squares_NHWC, draws[:, 4] < 0.5)
        return normalise(seen, preprocess, layout)
    boxes = crops.draw(draws, augmentation.scale, side_px)
    if level == "light" and batch_NHWC.device.type == "cpu":
        return normalise(crops.cut(batch_NHWC, boxes, size_px), preprocess, layout)
    if level == "light":  # one resampling of a whole batch suits a GPU better than a call for each image
        images_NCHW = resample(batch_NHWC, crops.maps(boxes, side_px), size_px).div_(255.0)
    else:
        choice = trivial.choose(draws[:, 5:8])
        images_NCHW = trivial.colour(_shaped(batch_NHWC, boxes, choice, size_px).div_(255.0), choice)
    return standardise(images_NCHW, preprocess).contiguous(memory_format=memory_format(layout))


def _shaped(batch_NHWC: torch.Tensor, boxes: crops.Boxes, choice: trivial.Choice, size_px: int) -> torch.Tensor:
    """Cut the boxes, with the geometry that an image drew: float32 (B, 3, size_px, size_px), values as given."""
    import torch

    maps = crops.maps(boxes, batch_NHWC.shape[1]) @ trivial.geometry(choice)
    if batch_NHWC.device.type != "cpu":
        return resample(batch_NHWC, maps, size_px)
    upright = crops.cut(batch_NHWC, boxes, size_px).permute(0, 3, 1, 2)
    images_NCHW = upright.to(torch.float32, memory_format=torch.contiguous_format)
    turned = trivial.moves(choice)
    if turned.any():
        rows = torch.from_numpy(np.flatnonzero(turned))
        images_NCHW[rows] = resample(batch_NHWC[rows], maps[turned], size_px)
    return images_NCHW


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
