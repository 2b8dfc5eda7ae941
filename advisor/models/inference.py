"""Running a network over squares of pixels: batches of one fixed size, eval mode, precision and memory layout.

The last batch is padded, since an image's outputs differ in their last bits with the size of the batch they came in.
Shared by features, evaluation and predictions, so that all three see the same numbers. Legend: N items, C, H, W.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from advisor.aliases import CountProgress
from advisor.data import pixels
from advisor.models import inference, normalise
from advisor.records import Compute, Preprocess

if TYPE_CHECKING:
    from advisor.models.classifier import Classifier

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 64


def place(module: nn.Module, compute: Compute) -> None:
    """Move a module to the device, and its filters to the memory layout, that `compute` names."""
    module.to(torch.device(compute.device))
    module.to(memory_format=normalise.memory_format(compute.layout))


def batches(
    canvas: NDArray[np.uint8],
    rows: NDArray[np.integer],
    *,
    preprocess: Preprocess,
    size_px: int,
    compute: Compute,
    batch: int = BATCH,
    flip: bool = False,
    progress: CountProgress | None = None,
) -> Iterator[tuple[Tensor, int]]:
    """Yield (normalised images (batch, 3, size, size), how many of them count)."""
    place = torch.device(compute.device)
    view = pixels.centre(canvas, size_px) if canvas.shape[1] != size_px else canvas
    for start in range(0, len(rows), batch):
        chosen = rows[start : start + batch]
        padded = np.concatenate([chosen, np.repeat(chosen[-1:], batch - len(chosen))])
        images = normalise.normalise(
            torch.from_numpy(np.ascontiguousarray(view[padded])).to(place), preprocess, compute.layout
        )
        if flip:
            images = images.flip(-1).contiguous(memory_format=normalise.memory_format(compute.layout))
        yield images, len(chosen)
        if progress is not None:
            progress(min(start + batch, len(rows)), len(rows))


def computed(images: int) -> int:
    """Say how many images pass a network for so many: batches are filled up, so that 70 cost as much as 128."""
    return -(-images // BATCH) * BATCH


def autocast(compute: Compute) -> torch.autocast:
    """Give the context in which a network runs in the precision asked for."""
    place = torch.device(compute.device).type
    return torch.autocast(place, dtype=torch.bfloat16, enabled=compute.precision == "bfloat16")


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode and every part of it back into its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def images_per_s(
    module: nn.Module, canvas: NDArray[np.uint8], *, preprocess: Preprocess, size_px: int, compute: Compute
) -> float:
    """Time one batch through a network, behind one that warms it up: how fast this machine is just now."""
    rows = np.arange(2 * BATCH) % len(canvas)
    place(module, compute)
    taken: list[float] = []
    with evaluating(module), torch.inference_mode(), autocast(compute):
        for images, _ in batches(canvas, rows, preprocess=preprocess, size_px=size_px, compute=compute):
            before = time.monotonic()
            float(module(images).sum())  # a number on the host: a device has then really done it
            taken.append(time.monotonic() - before)
    return BATCH / max(taken[-1], 1e-9)


def logits(
    classifier: Classifier,
    canvas: NDArray[np.uint8],
    rows: NDArray[np.integer],
    *,
    preprocess: Preprocess,
    size_px: int,
    compute: Compute,
    batch: int = inference.BATCH,
    progress: CountProgress | None = None,
) -> NDArray[np.float32]:
    """Give the logits of these rows of a canvas, (n, K), float32, in eval mode; modes are left as they were.

    The classifier moves to `compute.device`. A canvas larger than `size_px` is cut to its centre.
    """
    inference.place(classifier, compute)
    with inference.evaluating(classifier), torch.inference_mode(), inference.autocast(compute):
        parts = [
            classifier(images)[:n].float().cpu()
            for images, n in inference.batches(
                canvas, rows, preprocess=preprocess, size_px=size_px, compute=compute, batch=batch, progress=progress
            )
        ]
    if not parts:
        return np.zeros((0, 0), dtype=np.float32)
    return np.asarray(torch.cat(parts).numpy())
