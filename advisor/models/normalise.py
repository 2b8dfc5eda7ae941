"""Pixels to network input: normalisation by a card's mean and standard deviation, and the memory layout.

In: uint8 squares (N, H, W, 3), or floats in 0..1. Out: float32 images_NCHW. Does NOT cover: augmentation (`training`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from advisor.records.plan import Preprocess

if TYPE_CHECKING:
    import torch


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
