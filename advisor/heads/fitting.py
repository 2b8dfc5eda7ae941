"""Fit any head on frozen features, and calibrate it: what is the same for every kind of head.

In: a `records.Head`, features and labels. Out: a small module from raw features to logits (`fit`), or the logits of the
images that a fold left out (`oof`). Standardisation is folded into weight and bias, with a floor under every deviation,
so that a network can be trained from the head without diverging (docs/design.md 6.15).
Does NOT cover: the computation of one kind (`ridge`, `logistic`, `prototypes`, `knn`, `linear`), features (`features`).
Legend: N items, D features, K classes; E episodes, M support items, n queries, W ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advisor.aliases import Float32s, Folds, Ints
from advisor.errors import InputError
from advisor.heads import episodic, registry
from advisor.heads.kind import HeadKind, TrainingRows
from advisor.records import Head


def fit(
    head: Head,
    features: Float32s,
    labels: Ints,
    classes: int,
    *,
    seed: int = 0,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    groups: Ints | None = None,
) -> nn.Module:
    """Fit a head on all rows and calibrate it. Numbers that `head` leaves out are chosen here, on these rows alone.

    Ridge `strength` is chosen by exact leave-one-out, logistic `c` on stratified folds drawn from `seed` (whole `groups`).
    "linear", the head that training starts from, is a logistic one, or ridge where that would take a minute.
    `blocks` are the widths of the stages side by side in `features`. `class_weights` as in `TrainPlan`.
    Raises InputError for an unknown kind or rows that do not fit together.
    """
    kind = _checked(head, features, labels, classes)
    rows = TrainingRows(
        features=features,
        labels=labels,
        classes=classes,
        class_weights=class_weights,
        blocks=blocks,
        seed=seed,
        groups=groups,
    )
    module = kind.fit(head, rows)
    return module.raised(-torch.from_numpy(_log_prior(labels, classes))) if class_weights == "logit_adjust" else module


def oof(
    head: Head,
    features: Float32s,
    labels: Ints,
    classes: int,
    folds: Folds,
    *,
    seed: int = 0,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    watch: Callable[[], None] | None = None,
) -> NDArray[np.float32]:
    """Return each validation row's logits from the head fitted without its fold, (N, K); nan in rows of no fold.

    Features are standardised once for all folds. A strength that `head` leaves out is one number chosen on the same
    folds (logistic) or by leave-one-out on all rows (ridge). `watch` is called during the fit, which it ends by raising.
    Raises InputError for an unknown kind or rows that do not fit together.
    """
    kind = _checked(head, features, labels, classes)
    rows = TrainingRows(
        features=features, labels=labels, classes=classes, class_weights=class_weights, blocks=blocks, seed=seed
    )
    logits = kind.oof(head, rows, folds, watch)
    return np.subtract(logits, _log_prior(labels, classes)) if class_weights == "logit_adjust" else logits


def episode_logits(
    head: Head, support_EMD: torch.Tensor, queries_EnD: torch.Tensor, ways: int, blocks: Sequence[int] = ()
) -> torch.Tensor:
    """Fit the head to every episode's support, class by class, and return the logits of its queries, (E, n, W).

    Raises InputError for a kind that is unknown or has no few-shot form.
    """
    return registry.kind_of(head.kind).episodes(head, *episodic.standardised(support_EMD, queries_EnD, blocks), ways)


def _checked(head: Head, features: Float32s, labels: Ints, classes: int) -> HeadKind:
    kind = registry.kind_of(head.kind)
    if features.ndim != 2 or len(features) != len(labels) or not len(labels):
        raise InputError(f"a head needs one row of features for each label: got {features.shape} and {len(labels)}.")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}.")
    return kind


def _log_prior(labels: Ints, classes: int) -> NDArray[np.float32]:
    """Return the log of the classes' frequencies (Menon et al. 2020, arXiv:2007.07314, section 4.1)."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    return np.asarray(np.log((counts + 0.5) / (counts + 0.5).sum()), dtype=np.float32)
