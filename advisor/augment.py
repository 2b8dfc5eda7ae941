"""What a training image goes through on its way into the network: normalisation, crops, flips, TrivialAugment, mixing.

In: uint8 canvases (B, S, S, 3) on the device, image ids, a counter. Out: normalised float images_NCHW of `size_px`.
Every draw belongs to one image (`randomness`), never to the batch. All geometry is one affine resampling.
Does NOT cover: decoding and the resize rule (`pixels`), the order of images (`training`).
Shapes: B images, S side of a canvas, C channels, H = W = size_px, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from advisor.records.plan import Preprocess


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
