"""What training minimises for labelled images: cross-entropy with smoothing, soft targets and uneven classes.

In: logits_NK, labels or target probabilities, class counts. Out: a scalar, the mean over the batch.
Does NOT cover: extra terms (`loss_terms`), scores (`metrics.classification`).
Sources: label smoothing, Szegedy et al. 2015 (1512.00567); logit adjustment, Menon et al. 2020 (2007.07314).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from advisor.errors import InputError

CLASS_WEIGHTS = ("balanced", "logit_adjust", "none")


@dataclass(frozen=True)
class Balance:
    """What is done about uneven classes: factors on the loss (K,), or shifts of the logits (K,), or neither."""

    weights: torch.Tensor | None = None
    shifts: torch.Tensor | None = None


def balance(kind: str, counts: npt.NDArray[np.int64], device: torch.device | str = "cpu") -> Balance:
    """Build the balance of class counts (K,): "none", "balanced" (n / (K n_k)) or "logit_adjust" (log n_k / n).

    Raises InputError where `kind` is unknown.
    """
    if kind not in CLASS_WEIGHTS:
        raise InputError(f"class weights {kind!r}: expected one of {', '.join(CLASS_WEIGHTS)}.")
    if kind == "none":
        return Balance()
    share = np.maximum(counts, 1) / max(1, int(counts.sum()))  # a class that is missing here counts as one image
    if kind == "balanced":
        return Balance(weights=torch.as_tensor(1.0 / (len(counts) * share), dtype=torch.float32, device=device))
    return Balance(shifts=torch.as_tensor(np.log(share), dtype=torch.float32, device=device))


def one_hot(labels_N: torch.Tensor, classes: int) -> torch.Tensor:
    """Turn labels into probabilities (N, K), float32."""
    return functional.one_hot(labels_N, classes).to(torch.float32)


def cross_entropy(
    logits_NK: torch.Tensor, targets: torch.Tensor, *, smoothing: float = 0.0, balanced: Balance | None = None
) -> torch.Tensor:
    """Average the cross-entropy over the batch, in float32. Targets are labels (N,) or probabilities (N, K).

    The average is over images, not over class weights, so that a batch's scale does not depend on who is in it.
    """
    balanced = balanced or Balance()
    logits_NK = logits_NK.float()
    if balanced.shifts is not None:
        logits_NK = logits_NK + balanced.shifts
    total = functional.cross_entropy(
        logits_NK, targets, weight=balanced.weights, label_smoothing=smoothing, reduction="sum"
    )
    return total / len(logits_NK)
