"""Running a network on squares of pixels in batches: eval mode, precision and memory layout.

In: a module, uint8 squares, rows. Out: logits, or normalised batches for other computations.
Scores and features use one batch size, `Compute.inference_batch`, the last batch padded, because an image's outputs differ
in their last bits with the size of the batch: the same image then has the same numbers everywhere. Predictions use batches
of five fixed sizes without padding (`small_batches`), so that one image costs one pass and torch prepares five shapes only.
Does NOT cover: decoding (`data`), files (`predictor`). Legend: N images, C channels, H, W, K classes.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from advisor.aliases import CountProgress, Float32s, Ints, Pixels
from advisor.data import pixels
from advisor.models import folding, normalise
from advisor.records import Compute, ForwardSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from advisor.models.classifier import Classifier

SMALL_BATCHES = (32, 8, 4, 2, 1)
FOLD_FROM = 64  # images: a copy with BatchNorm folded takes about eight passes to make and to check


def move(module: nn.Module, compute: Compute) -> None:
    """Move a module to the device, and its filters to the memory layout, that `compute` names.

    Nothing is done where it is there already: to move 300 tensors to where they are takes a tenth of a small network's pass.
    """
    device, layout = torch.device(compute.device), normalise.memory_format(compute.layout)
    tensors = itertools.chain(module.parameters(), module.buffers())
    if all(t.device == device and (t.dim() != 4 or t.is_contiguous(memory_format=layout)) for t in tensors):
        return
    module.to(device)
    module.to(memory_format=layout)


def small_batches(images: int) -> list[int]:
    """Split a number of images into batches of 32, 8, 4, 2 and 1, the largest first: nothing is padded.

    On a CPU a pass of eight images takes as long as eight passes of one, so that padding would only cost.
    """
    sizes: list[int] = []
    for size in SMALL_BATCHES:
        count, images = divmod(images, size)
        sizes += [size] * count
    return sizes


def equal_batches(images: int, batch: int) -> list[int]:
    """Split a number of images into as few batches of at most `batch` as possible, whose sizes differ by one at most.

    For averages over batches: nothing is padded, and no image counts for much more than another.
    """
    return [len(part) for part in np.array_split(np.arange(images), -(-images // batch))] if images else []


def batches(
    canvas: Pixels,
    rows: Ints,
    spec: ForwardSpec,
    *,
    sizes: Sequence[int] | None = None,
    batch: int | None = None,
    flip: bool = False,
    progress: CountProgress | None = None,
) -> Iterator[tuple[Tensor, int]]:
    """Yield (normalised images (B, 3, size, size), how many of them count); the last batch is padded.

    `sizes` are the sizes of the batches, by default as many of `batch` images (`Compute.inference_batch`) as are needed.
    """
    device = torch.device(spec.compute.device)
    view = pixels.centre(canvas, spec.size_px) if canvas.shape[1] != spec.size_px else canvas
    batch = batch or spec.compute.inference_batch
    start = 0
    for size in [batch] * -(-len(rows) // batch) if sizes is None else sizes:
        chosen = rows[start : start + size]
        padded = np.concatenate([chosen, np.repeat(chosen[-1:], size - len(chosen))])
        images = normalise.normalise(
            torch.from_numpy(np.ascontiguousarray(view[padded])).to(device), spec.preprocess, spec.compute.layout
        )
        if flip:
            images = images.flip(-1).contiguous(memory_format=normalise.memory_format(spec.compute.layout))
        yield images, len(chosen)
        start += size
        if progress is not None:
            progress(min(start, len(rows)), len(rows))


def padded_count(images: int, batch: int) -> int:
    """Return how many images pass a network for so many: batches are padded, so that in 32s 70 cost as much as 96."""
    return -(-images // batch) * batch


def folds(images: int, compute: Compute) -> bool:
    """Return whether so many images are worth a copy of the network with BatchNorm folded, and `compute` allows it."""
    return compute.fold_batch_norm and images >= FOLD_FROM


def autocast(compute: Compute) -> torch.autocast:
    """Return the context in which a network runs in the precision that `compute` names."""
    kind = torch.device(compute.device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=compute.precision == "bfloat16")


@contextlib.contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Switch a module to eval mode, and every part of it back to its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    if not any(training for _, training in modes):
        yield
        return
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def images_per_s(module: nn.Module, canvas: Pixels, spec: ForwardSpec) -> float:
    """Time one batch through a network, after one that warms it up: the current speed of this machine."""
    batch = spec.compute.inference_batch
    rows = np.arange(2 * batch) % len(canvas)
    move(module, spec.compute)
    seconds: list[float] = []
    with eval_mode(module), torch.inference_mode(), autocast(spec.compute):
        for images, _ in batches(canvas, rows, spec):
            before = time.monotonic()
            float(module(images).sum())  # a number on the host: the device has then finished
            seconds.append(time.monotonic() - before)
    return batch / max(seconds[-1], 1e-9)


def logits(
    classifier: Classifier,
    canvas: Pixels,
    rows: Ints,
    spec: ForwardSpec,
    *,
    sizes: Sequence[int] | None = None,
    batch: int | None = None,
    progress: CountProgress | None = None,
) -> Float32s:
    """Compute the logits of these rows of a canvas, (N, K), float32, in eval mode; modes are left as they were.

    The classifier moves to the device of `spec`. A canvas larger than `spec.size_px` is cropped to its centre.
    """
    answers, _ = outputs(classifier, canvas, rows, spec, sizes=sizes, batch=batch, progress=progress, width=0)
    return answers


def outputs(
    classifier: Classifier,
    canvas: Pixels,
    rows: Ints,
    spec: ForwardSpec,
    *,
    sizes: Sequence[int] | None = None,
    batch: int | None = None,
    progress: CountProgress | None = None,
    width: int,
) -> tuple[Float32s, Float32s]:
    """Compute logits (N, K) as `logits` does, and the last `width` of the features that the head reads, (N, width)."""
    if folds(len(rows), spec.compute):
        classifier = folding.folded(classifier, spec.size_px)
    move(classifier, spec.compute)
    parts: list[tuple[Tensor, Tensor]] = []
    with eval_mode(classifier), torch.inference_mode(), autocast(spec.compute):
        for images, n in batches(canvas, rows, spec, sizes=sizes, batch=batch, progress=progress):
            features_ND = classifier.features(images)
            answers_NK = classifier.head(features_ND)[:n].float().cpu()
            first = features_ND.shape[1] - width
            parts.append((answers_NK, features_ND[:n, first:].float().cpu()))
    if not parts:
        return np.zeros((0, 0), dtype=np.float32), np.zeros((0, width), dtype=np.float32)
    answers, features = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return np.asarray(answers), np.asarray(features)
