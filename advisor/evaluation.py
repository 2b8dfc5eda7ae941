"""Model and pixels -> logits, without gradients, in batches of one size. Scores are those of `metrics`.

Does not cover which images may be looked at (`advice` opens the locked test), or files (`model.Predictor`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from advisor import inference
from advisor.metrics import (
    accuracy,
    balanced_accuracy,
    confusion,
    ece,
    fit_temperature,
    item_log_loss,
    log_loss,
    per_class,
    probabilities,
)
from advisor.records import Compute, Preprocess

if TYPE_CHECKING:
    from advisor.model import Classifier

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "confusion",
    "ece",
    "fit_temperature",
    "item_log_loss",
    "log_loss",
    "logits",
    "per_class",
    "probabilities",
]


def logits(
    classifier: Classifier,
    canvas: NDArray[np.uint8],
    rows: NDArray[np.integer],
    *,
    preprocess: Preprocess,
    size_px: int,
    compute: Compute,
    batch: int = inference.BATCH,
    progress: Callable[[int, int], None] | None = None,
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
