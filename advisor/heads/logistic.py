"""Multinomial logistic regression with an L2 penalty: a grid of strengths scored on folds, and the head of the best one.

`c` is scikit-learn's C on standardised features: C * sum of losses + |W|^2 / 2, intercepts free.
Legend: N items, D features, R rank, K classes, P problems (folds); E episodes, M support items, n queries, W ways.
Does NOT cover: how the problems are solved (`logistic_solver`). Source: Hastie et al., The Elements of Statistical
Learning, section 4.4; of the few-shot form: Boehning 1992 (curvature bound).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from advisor.aliases import Float32s, Folds
from advisor.data import splits
from advisor.heads import episodic, lbfgs, logistic_solver, standardise
from advisor.heads.kind import TrainingRows
from advisor.heads.linear_head import LinearHead
from advisor.metrics import classification
from advisor.records import Head

if TYPE_CHECKING:
    from torch import Tensor

GRID: tuple[float, ...] = tuple(float(c) for c in np.geomspace(1e-5, 1e2, 15))
FEW_SHOT_C = 0.01  # cross-validation cannot choose one where a class has a single image
UNFOLDED_C = 1e-3  # for data whose classes are too small to be held out
MANY_IMAGES = 20_000  # from here on one fold chooses a strength
SURE_IMAGES = 2_000  # one fold of at least this many suffices where there are `MANY_LOGITS`
MANY_LOGITS = 50_000  # images times classes, from which on three folds are made instead of five
_PATH_TOLERANCE = 1e-5  # nats per item: far below what can decide between two strengths
_WORTH = 0.01  # share of the gain over the largest penalty that a smaller penalty must add to be chosen
_EPISODE_STEPS = 60
_EPISODE_TOLERANCE = 1e-7


@dataclass(frozen=True)
class LogisticPath:
    """Out-of-fold scores of every c that was tried, in rising order; `best` indexes the smallest c that brings 99 %
    of the log-loss that the best one gains over the smallest.

    `oof_logits` (N, K) are those of the best; rows in no validation fold are nan and in no score.
    """

    cs: tuple[float, ...]
    accuracy: tuple[float, ...]
    log_loss: tuple[float, ...]
    best: int
    oof_logits: NDArray[np.float32]


def path(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    classes: int,
    folds: Folds,
    cs: Sequence[float] = GRID,
    *,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    factored: standardise.Spectrum | None = None,
    watch: Callable[[], None] | None = None,
) -> LogisticPath:
    """Fit every fold at rising c, each started from the last, and score the images that were left out.

    Every second c is tried until a larger one adds less than a hundredth, then the neighbours of the best. `watch` is
    called at every evaluation, and may raise to end it.
    Standardisation is that of all features (no label is in it). Raises ValueError where there is no fold.
    """
    if not folds:
        raise ValueError("logistic.path needs at least one fold: some class needs two images")
    spec = factored or standardise.factor(features, blocks=blocks)
    weights = standardise.item_weights(labels, classes, class_weights)
    weights_PN = np.zeros((len(folds), len(labels)))
    for row, (train, _) in enumerate(folds):
        weights_PN[row, train] = standardise.item_weights(labels[train], classes, class_weights)
    held = np.sort(np.concatenate([val for _, val in folds]))
    grid = sorted(float(c) for c in cs)
    tried: dict[int, _Tried] = {}

    def visit(at: int) -> None:
        nearest = max((i for i in tried if i < at), default=None)
        start = None if nearest is None else tried[nearest].solution
        solution = logistic_solver.solve(
            spec, labels, classes, weights_PN, grid[at], start=start, tolerance=_PATH_TOLERANCE, watch=watch
        )
        tried[at] = _score(solution, logistic_solver.held_out(spec, solution, folds, classes), labels, weights, held)

    for at in range(0, len(grid), 2):
        visit(at)
        before = tried[at - 2].log_loss if at >= 4 else np.inf
        if tried[at].log_loss > before - _WORTH * (tried[0].log_loss - before):
            break
    best = _mildest(tried)
    for at in (best - 1, best + 1):
        if 0 <= at < len(grid) and at not in tried:
            visit(at)
    order = sorted(tried)
    best = _mildest(tried)
    return LogisticPath(
        cs=tuple(grid[i] for i in order),
        accuracy=tuple(tried[i].accuracy for i in order),
        log_loss=tuple(tried[i].log_loss for i in order),
        best=order.index(best),
        oof_logits=tried[best].logits,
    )


def _mildest(tried: Mapping[int, _Tried]) -> int:
    """Choose the smallest c that brings nearly all of what the best one brings over the smallest of all."""
    lowest = min(t.log_loss for t in tried.values())
    enough = lowest + _WORTH * max(0.0, tried[0].log_loss - lowest)
    return min(i for i, t in tried.items() if t.log_loss <= enough)


@dataclass(frozen=True)
class _Tried:
    solution: Tensor
    logits: NDArray[np.float32]
    accuracy: float
    log_loss: float


def _score(
    solution: Tensor,
    logits: NDArray[np.float32],
    labels: NDArray[np.integer],
    weights: NDArray[np.float64],
    held: NDArray[np.integer],
) -> _Tried:
    right = logits[held].argmax(1) == labels[held]
    loss = classification.log_loss(logits[held], labels[held], weights=weights[held])
    return _Tried(solution, logits, float(np.average(right, weights=weights[held])), loss)


def fit(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    classes: int,
    c: float,
    *,
    class_weights: str = "none",
    blocks: Sequence[int] = (),
    factored: standardise.Spectrum | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit one head on all items; return (weight (K, D), bias (K,)) for raw features."""
    spec = factored or standardise.factor(features, blocks=blocks)
    weights = standardise.item_weights(labels, classes, class_weights)[None]
    solution_RPK = logistic_solver.solve(spec, labels, classes, weights, c)
    weight, bias = spec.unrotate(solution_RPK[:-1, 0], solution_RPK[-1, 0])
    return weight.numpy(), bias.numpy()


def _one_fold_suffices(images: int, classes: int) -> bool:
    return images >= MANY_IMAGES or (images >= SURE_IMAGES and images * classes >= MANY_LOGITS)


def _choose_c(spec: standardise.Spectrum, rows: TrainingRows) -> float:
    labels, classes = rows.labels, rows.classes
    k = 5 if len(labels) * classes < MANY_LOGITS else 3
    groups = rows.groups
    if groups is not None and len(np.unique(groups)) == len(groups):
        groups = None  # groups of one image are dealt otherwise than images, and data without copies keep their folds
    folds = splits.folds(np.asarray(labels), groups, k=k, seed=rows.seed)
    if not folds:
        return UNFOLDED_C
    chosen = folds[:1] if _one_fold_suffices(len(labels), classes) else folds
    scored = path(rows.features, labels, classes, chosen, class_weights=rows.class_weights, factored=spec)
    return scored.cs[scored.best]


@dataclass(frozen=True)
class LogisticKind:
    """Logistic regression; `c` in `Head.numbers`, or chosen by cross-validation."""

    name: str = "logistic"
    module: type[LinearHead] = LinearHead

    def fit(self, head: Head, rows: TrainingRows) -> LinearHead:
        """Fit all rows with the stated c, or with one chosen on stratified folds."""
        spec = standardise.factor(rows.features, blocks=rows.blocks)
        c = head.numbers.get("c") or _choose_c(spec, rows)
        weight, bias = fit(rows.features, rows.labels, rows.classes, c, class_weights=rows.class_weights, factored=spec)
        return LinearHead(torch.from_numpy(weight), torch.from_numpy(bias))

    def oof(self, head: Head, rows: TrainingRows, folds: Folds, watch: Callable[[], None] | None) -> Float32s:
        """Return the logits at the stated c, or at the one that does best on the same folds."""
        cs = (head.numbers["c"],) if head.numbers.get("c") else GRID
        spec = standardise.factor(rows.features, blocks=rows.blocks)

        def scored(some: Folds, strengths: Sequence[float]) -> LogisticPath:
            return path(
                rows.features,
                rows.labels,
                rows.classes,
                some,
                strengths,
                class_weights=rows.class_weights,
                factored=spec,
                watch=watch,
            )

        if len(cs) > 1 and _one_fold_suffices(len(rows.labels), rows.classes):
            first = scored(folds[:1], cs)
            cs = (first.cs[first.best],)
        return scored(folds, cs).oof_logits

    def episodes(self, head: Head, support_EMD: Tensor, queries_EnD: Tensor, ways: int) -> Tensor:
        """Minimise every episode's loss in the principal axes of its support."""
        axes = episodic.principal_axes(support_EMD, queries_EnD)
        weight, bias = _fit_episodes(axes.scores_EMR, axes.classes(ways), float(head.numbers.get("c") or FEW_SHOT_C))
        return torch.as_tensor((axes.queries_EnR @ weight + bias[:, None]).float())


KIND = LogisticKind()


def _fit_episodes(scores_EMR: Tensor, is_class_MW: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Minimise C x losses + |W|^2 / 2 for every episode; return (weight (E, R, W), bias (E, W))."""
    episodes, items, rank = scores_EMR.shape
    # Axes are scaled by a bound on the curvature (Boehning 1992), so that few steps are enough.
    curvature_ER = 0.5 * scores_EMR.square().sum(1) + 1 / c
    scale_ER = curvature_ER.rsqrt()
    scaled_EMR = scores_EMR * scale_ER[:, None]
    bias_scale = (0.5 * items) ** -0.5

    def loss(point: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = point[:-1].permute(1, 0, 2), point[-1]
        z_EMW = scaled_EMR @ weight + bias_scale * bias[:, None]
        log_p = z_EMW.log_softmax(2)
        wrong = log_p.exp() - is_class_MW
        penalty = (scale_ER.square() / c)[:, :, None] * weight
        value = -(log_p * is_class_MW).sum((1, 2)) + 0.5 * (penalty * weight).sum((1, 2))
        slope = scaled_EMR.mT @ wrong + penalty
        return value, torch.cat([slope.permute(1, 0, 2), bias_scale * wrong.sum(1)[None]])

    ways = is_class_MW.shape[1]
    start = torch.zeros(rank + 1, episodes, ways, dtype=torch.float64)
    point = lbfgs.minimise(loss, start, tolerance=_EPISODE_TOLERANCE, steps=_EPISODE_STEPS)
    return point[:-1].permute(1, 0, 2) * scale_ER[:, :, None], bias_scale * point[-1]
