"""Heads on frozen features: fitted in closed form or convexly, and kept as small modules from raw features to logits.

`fit` gives a module for any kind of `records.Head`, `oof` the logits of images that a fold left out, `initial` a head
that knows nothing yet. Standardisation is folded into weight and bias, with a floor under every deviation, so that a
trained network can start from the head without blowing up (docs/design.md 6.15). Logits are calibrated on held-out ones.
Legend: N items, D features, K classes, M bank items. Does not cover where features come from (`features`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advisor.aliases import Float32s, Folds, Ints
from advisor.data import splits
from advisor.errors import InputError
from advisor.heads import logistic, prototypes, ridge, standardise
from advisor.heads.modules import CosineHead, KnnHead, LinearHead
from advisor.metrics import classification
from advisor.records import Head

KINDS = ("ridge", "logistic", "prototypes", "cosine_prototypes", "knn", "linear")
NEIGHBOURS = 15
SHARPNESS = 0.1
_ROWS = 8192
_WIDE = 50_000  # logits from which on three folds have to do
_HUGE = 1e10  # features times outputs from which on a head to start from is a ridge head: each step would cost seconds
# Images from which on a strength is chosen on one fold, and a head to start from is a ridge head: the other one takes half
# a minute with 40,000, better spent training. With many logits (102 classes) one fold has to do from fewer images on.
_MANY, _SURE = 20_000, 2_000


def initial(start: str, width: int, classes: int, *, seed: int = 0) -> LinearHead:
    """Return a linear head that has seen nothing: "zeros", or "random" (normal, deviation 0.01, from `seed` alone)."""
    if start not in ("zeros", "random"):
        raise InputError(f'a head starts as "zeros", "random" or "probe", got "{start}".')
    weight = torch.zeros(classes, width)
    if start == "random":
        weight.normal_(std=0.01, generator=torch.Generator().manual_seed(seed % 2**63))
    return LinearHead(weight, torch.zeros(classes))


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

    Ridge `strength` by exact leave-one-out, logistic `c` by stratified folds drawn from `seed` (whole `groups`).
    "linear", the head that training starts from, is a logistic one, or ridge where that would take a minute.
    `blocks` are the widths of the stages side by side in `features`. `class_weights` as in `TrainPlan`.
    Raises InputError for an unknown kind or rows that do not fit together.
    """
    _check(head, features, labels, classes)
    closed_form = head.kind == "linear" and (
        len(labels) >= _MANY or len(labels) * min(features.shape) * classes > _HUGE
    )
    if head.kind == "ridge" or closed_form:
        path = ridge.path(features, labels, classes, _strengths(head), class_weights=class_weights, blocks=blocks)
        module: nn.Module = LinearHead(torch.from_numpy(path.weight), torch.from_numpy(path.bias))
    elif head.kind in ("logistic", "linear"):
        spec = standardise.factor(features, blocks=blocks)
        c = head.numbers.get("c") or _choose_c(spec, features, labels, classes, seed, class_weights, groups)
        weight, bias = logistic.fit(features, labels, classes, c, class_weights=class_weights, factored=spec)
        module = LinearHead(torch.from_numpy(weight), torch.from_numpy(bias))
    else:
        module = _fit_prototypes(head, features, labels, classes, blocks)
    return _adjusted(module, labels, classes, class_weights)


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

    Float32s are standardised once for all folds. A strength that `head` leaves out is one number chosen on the same
    folds (logistic) or by leave-one-out on all rows (ridge). `watch` is called on the way and may raise to end it.
    """
    _check(head, features, labels, classes)
    if head.kind == "ridge":
        weights = standardise.item_weights(labels, classes, class_weights)
        spec = standardise.factor(features, weights_N=weights, blocks=blocks)
        ridge_path = ridge.path(features, labels, classes, _strengths(head), class_weights=class_weights, factored=spec)
        strength, temperature = ridge_path.strengths[ridge_path.best], ridge_path.temperatures[ridge_path.best]
        outputs = ridge.held_out(features, labels, classes, folds, strength, class_weights=class_weights, factored=spec)
        logits = np.asarray(outputs / temperature, dtype=np.float32)
    elif head.kind in ("logistic", "linear"):
        cs = (head.numbers["c"],) if head.numbers.get("c") else logistic.GRID
        spec = standardise.factor(features, blocks=blocks)

        def path(some: Folds, cs: Sequence[float]) -> logistic.LogisticPath:
            return logistic.path(
                features, labels, classes, some, cs, class_weights=class_weights, factored=spec, watch=watch
            )

        if len(cs) > 1 and _one_fold_will_do(len(labels), classes):
            first = path(folds[:1], cs)
            cs = (first.cs[first.best],)
        logits = path(folds, cs).oof_logits
    else:
        logits = np.full((len(labels), classes), np.nan, dtype=np.float32)
        for train, val in folds:
            module = _fit_prototypes(head, features[train], labels[train], classes, blocks)
            logits[val] = predict(module, features[val])
    if class_weights == "logit_adjust":
        logits = np.subtract(logits, _log_prior(labels, classes))
    return logits


@torch.inference_mode()
def predict(head: nn.Module, features: Float32s) -> NDArray[np.float32]:
    """Return the logits (N, K) of features (N, D), in blocks of rows."""
    device = next(iter([*head.parameters(), *head.buffers()])).device
    raw = torch.from_numpy(np.array(features, dtype=np.float32))
    parts = [head(raw[at : at + _ROWS].to(device)).float().cpu() for at in range(0, len(raw), _ROWS)]
    return np.asarray(torch.cat(parts).numpy())


def _check(head: Head, features: Float32s, labels: Ints, classes: int) -> None:
    if head.kind not in KINDS:
        raise InputError(f'unknown head "{head.kind}": expected one of {", ".join(KINDS)}.')
    if features.ndim != 2 or len(features) != len(labels) or not len(labels):
        raise InputError(f"a head needs one row of features for each label: got {features.shape} and {len(labels)}.")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}.")


def _strengths(head: Head) -> Sequence[float]:
    stated = head.numbers.get("strength")
    return (stated,) if stated else ridge.GRID


def _one_fold_will_do(images: int, classes: int) -> bool:
    """Whether a strength is chosen on one fold: where all would take long, and one holds enough images."""
    return images >= _MANY or (images >= _SURE and images * classes >= _WIDE)


def _choose_c(
    spec: standardise.Spectrum,
    features: Float32s,
    labels: Ints,
    classes: int,
    seed: int,
    class_weights: str,
    groups: Ints | None,
) -> float:
    k = 5 if len(labels) * classes < _WIDE else 3
    folds = splits.folds(np.asarray(labels), groups, k=k, seed=seed)
    if not folds:
        return 1e-3  # one image a class: nothing can be held out
    chosen = folds[:1] if _one_fold_will_do(len(labels), classes) else folds
    path = logistic.path(features, labels, classes, chosen, class_weights=class_weights, factored=spec)
    return path.cs[path.best]


def _fit_prototypes(head: Head, features: Float32s, labels: Ints, classes: int, blocks: Sequence[int]) -> nn.Module:
    mean, scale = standardise.standardiser(features, np.ones(len(labels)), blocks)
    x_ND = ((torch.from_numpy(np.array(features, dtype=np.float32)) - mean) * scale).float()
    labels_N = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    shared = (
        torch.bincount(labels_N, minlength=classes)[labels_N].numpy() > 1
    )  # others have no prototype but themselves

    def factor(scores_NK: torch.Tensor) -> float:
        return 1.0 / classification.fit_temperature(scores_NK.numpy()[shared], labels[shared])

    if head.kind == "prototypes":
        weight, bias, held_out = prototypes.euclidean(x_ND, labels_N, classes)
        times = factor(held_out)
        folded = weight.double() * scale * times
        absent = bias == prototypes.ABSENT
        bias = torch.where(absent, bias, (bias * times - folded @ mean).float())
        return LinearHead(folded, bias)
    if head.kind == "cosine_prototypes":
        weight, held_out = prototypes.cosine(x_ND, labels_N, classes)
        return CosineHead(weight, mean, scale, factor(held_out))
    k = int(head.numbers.get("k") or NEIGHBOURS)
    sharpness = float(head.numbers.get("temperature") or SHARPNESS)
    unit = nn.functional.normalize(x_ND)
    shares = prototypes.neighbours(unit, unit, labels_N, classes, k=k, sharpness=sharpness, leave_one_out=True)
    settings = torch.tensor([classes, k, sharpness, factor(shares)], dtype=torch.float64)
    return KnnHead(unit, labels_N, mean, scale, settings)


def _log_prior(labels: Ints, classes: int) -> NDArray[np.float32]:
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    return np.asarray(np.log((counts + 0.5) / (counts + 0.5).sum()), dtype=np.float32)


def _adjusted(module: nn.Module, labels: Ints, classes: int, class_weights: str) -> nn.Module:
    """Take the classes' frequencies out of a linear head's bias (Menon et al. 2020, arXiv:2007.07314, section 4.1)."""
    if class_weights != "logit_adjust" or not isinstance(module, LinearHead):
        return module
    return LinearHead(module.weight, module.bias.detach() - torch.from_numpy(_log_prior(labels, classes)))
