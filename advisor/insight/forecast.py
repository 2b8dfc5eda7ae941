"""Accuracy against the number of training images: nested subsets of the pool, a power law, and an interval beyond them.

In: features and labels of the training pool, and a function that fits a head and scores it. Out: measured points, the
error expected at other sizes with an interval, and the classes that gained most. The law is error(n) = floor + scale n^-rate.
Does NOT cover: what is fitted or trained on the subsets (`execution.insight`).
Source: Viering and Loog 2021 (2103.10948) on learning curves; the interval is a bootstrap over the repeats of each size, or
over the scored images where each was scored once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.aliases import Float64s, Ints, Rows
from advisor.insight import guessing
from advisor.metrics import intervals
from advisor.runtime import rng

SIZES = (0.125, 0.25, 0.5, 1.0)  # shares of the training rows
REPEATS = 5
WIDER = 1.5  # than the spread below: without it the interval held the truth in 25 of 30 repeats (docs/insight.md)
GAIN_LEVEL = 0.1  # p-value up to which a class counts as one that gains from more images
_RATES = np.linspace(0.05, 1.5, 59)
_RESAMPLES = 200
ScoreRows = Callable[
    [Rows, Rows], Float64s
]  # (training rows, held-out rows) -> 1 where right, else 0, for each held-out row


@dataclass(frozen=True, kw_only=True)
class MeasuredErrors:
    """Errors (S, R) at `sizes` (S,) training images over R repeats, and each class's mean error (S, K) at each size.

    `turned_K2` counts, for each class, scored images that turned right and wrong from the half to the whole of the images,
    those of one group once;
    `held_out` is the number of images that one repeat scores. With one repeat the interval rests on that number.
    """

    sizes: Rows
    errors_SR: Float64s
    class_errors_SK: Float64s
    turned_K2: Ints | None = None
    held_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The accuracy expected with `images` training images, and its 95 % interval."""

    images: int
    accuracy: float
    low: float
    high: float


def measure(
    labels_N: Ints,
    score: ScoreRows,
    *,
    seed: int = 0,
    held_out: float = 0.25,
    repeats: int = REPEATS,
    groups_N: Ints | None = None,
) -> MeasuredErrors:
    """Fit on nested, stratified subsets and score on rows that none of them holds.

    Each repeat holds out another random quarter; its subsets grow inside the rest. A class keeps at least one image, and
    rows of one group are never on both sides.
    """
    labels_N = np.asarray(labels_N)
    classes = int(labels_N.max()) + 1
    sizes, errors = np.zeros(len(SIZES), dtype=np.int64), np.empty((len(SIZES), repeats))
    class_right, class_count = np.zeros((len(SIZES), classes)), np.zeros(classes)
    turned_K2 = np.zeros((classes, 2), dtype=np.int64)
    for repeat in range(repeats):
        held, rest = _halves(labels_N, groups_N, rng.key(seed, "forecast", repeat), held_out)
        class_count += np.bincount(labels_N[held], minlength=classes)
        before = np.zeros(len(held))
        for position, share in enumerate(SIZES):
            rows = rest[: max(classes, round(share * len(rest)))]
            right = np.asarray(score(np.sort(rows), held), dtype=np.float64)
            errors[position, repeat] = 1.0 - right.mean()
            class_right[position] += np.bincount(labels_N[held], weights=right, minlength=classes)
            sizes[position] = len(rows)
            if position == len(SIZES) - 1:
                own_M = None if groups_N is None else np.asarray(groups_N)[held]
                turned_K2 += _turned(labels_N[held], right - before, own_M, classes)
            before = right
    with np.errstate(invalid="ignore"):
        class_errors_SK = 1.0 - class_right / class_count
    return MeasuredErrors(
        sizes=sizes, errors_SR=errors, class_errors_SK=class_errors_SK, turned_K2=turned_K2, held_out=len(held)
    )


def subsets(labels_N: Ints, shares: Sequence[float], *, seed: int, groups_N: Ints | None = None) -> list[Rows]:
    """Return positions of nested, stratified subsets, a share (0..1) of all each; every class keeps at least one image.

    An image joins its subset beside those of its group, so that a quarter holds about a quarter of the groups.
    """
    labels_N = np.asarray(labels_N)
    _, order = _halves(labels_N, groups_N, rng.key(seed, "forecast subsets"), 0.0)
    first = order[np.unique(labels_N[order], return_index=True)[1]]
    return [np.union1d(order[: max(1, round(share * len(order)))], first) for share in shares]


def of_scored_once(sizes: Rows, right_SN: Float64s, labels_N: Ints, *, groups_N: Ints | None = None) -> MeasuredErrors:
    """Return the errors of N images that were scored once at each size, in increasing order; `right_SN` is 1 where right.

    Images of one group count as one.
    """
    counts_K = np.bincount(labels_N)
    right_SK = np.stack([np.bincount(labels_N, weights=right, minlength=len(counts_K)) for right in right_SN])
    with np.errstate(invalid="ignore"):
        class_errors_SK = 1.0 - right_SK / counts_K
    return MeasuredErrors(
        sizes=sizes,
        errors_SR=1.0 - right_SN.mean(axis=1, keepdims=True),
        class_errors_SK=class_errors_SK,
        turned_K2=_turned(labels_N, right_SN[-1] - right_SN[-2], groups_N, len(counts_K)),
        held_out=len(labels_N) if groups_N is None else len(np.unique(groups_N)),
    )


def _turned(labels_N: Ints, change_N: Float64s, groups_N: Ints | None, classes: int) -> Ints:
    """Count, for each class, groups of its images that turned right (change above 0) and wrong on the whole, (K, 2)."""
    member_N = np.arange(len(labels_N)) if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
    change_GK = np.zeros((int(member_N.max(initial=-1)) + 1, classes))
    np.add.at(change_GK, (member_N, labels_N), change_N)
    return np.stack([(change_GK > 0).sum(axis=0), (change_GK < 0).sum(axis=0)], axis=1)


def _halves(labels_N: Ints, groups_N: Ints | None, seed: int, held_out: float) -> tuple[Rows, Rows]:
    """Return the rows that are scored, and the others in an order whose every prefix is stratified; whole groups."""
    groups = np.arange(len(labels_N)) if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
    _, first = np.unique(groups, return_index=True)
    order = _interleaved(labels_N[first], rng.permutation(seed, "forecast groups", 0, len(first)))
    rank = np.empty(len(first), dtype=np.int64)
    rank[order] = np.arange(len(first))
    rows = np.argsort(rank[groups], kind="stable")
    cut = round(held_out * len(rows))
    while 0 < cut < len(rows) and groups[rows[cut]] == groups[rows[cut - 1]]:
        cut += 1
    return rows[:cut], rows[cut:]


def _interleaved(labels_N: Ints, order: Rows) -> Rows:
    """Order rows so that every prefix holds the classes in their proportions, each class in the given order."""
    position = np.empty(len(order))
    for label in np.unique(labels_N):
        rows = order[labels_N[order] == label]
        position[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.argsort(position, kind="stable")


def fit(sizes: Ints, errors: Float64s) -> tuple[float, float, float]:
    """Fit error(n) = floor + scale n^-rate by least squares with floor, scale >= 0; returns (floor, scale, rate).

    For each rate on a grid the two others are linear; the best rate wins.
    """
    errors = np.asarray(errors, dtype=np.float64)
    power_RS = np.asarray(sizes, dtype=np.float64)[None, :] ** -_RATES[:, None]
    centred_RS = power_RS - power_RS.mean(axis=1, keepdims=True)
    scale_R = np.maximum((centred_RS @ (errors - errors.mean())) / (centred_RS**2).sum(axis=1), 0.0)
    floor_R = errors.mean() - scale_R * power_RS.mean(axis=1)
    through_zero_R = np.maximum((power_RS @ errors) / (power_RS**2).sum(axis=1), 0.0)
    scale_R, floor_R = np.where(floor_R < 0, through_zero_R, scale_R), np.maximum(floor_R, 0.0)
    loss_R = ((floor_R[:, None] + scale_R[:, None] * power_RS - errors) ** 2).sum(axis=1)
    best = int(loss_R.argmin())
    return float(floor_R[best]), float(scale_R[best]), float(_RATES[best])


def expect(curve: MeasuredErrors, images: Sequence[int], *, seed: int = 0, items: int = 0) -> list[Expected]:
    """Extrapolate to other numbers of training images, with 95 % intervals from a bootstrap over repeats, taken as wide as
    Student's t makes it with so few; over the scored images, those of each size apart, where there is one repeat.

    The law is uncertain in itself: the interval is widened by the fit's own error at the largest size, measured by
    leaving that size out. `items`, where above 0, adds the spread of an accuracy that is measured on so many images.
    """
    draw = np.random.default_rng(rng.key(seed, "forecast interval"))
    means = curve.errors_SR.mean(axis=1)
    centre = fit(curve.sizes, means)
    draws = [fit(curve.sizes, _redrawn(curve, draw)) for _ in range(_RESAMPLES)]
    held = fit(curve.sizes[:-1], means[:-1])
    miss = abs(_error(held, int(curve.sizes[-1])) - float(means[-1]))
    steps_seen = np.log2(curve.sizes[-1] / curve.sizes[-2])
    student, least = _quantile(curve), _least_spans(curve)[-1]
    result = []
    for count in images:
        steps = max(1.0, float(np.log2(max(count, 1) / curve.sizes[-1]) / steps_seen))
        values = np.array([_error(law, count) for law in draws])
        error = _error(centre, count)
        chance = error * (1 - error) / items if items else 0.0
        spread = WIDER * float(np.sqrt(student**2 * values.var() + (miss * steps) ** 2 + 1.96**2 * chance))
        low, high = max(0.0, error - spread), min(1.0, error + spread)
        low, high = min(low, 1 - least[1]), max(high, 1 - least[0])
        result.append(Expected(images=int(count), accuracy=1 - error, low=1 - high, high=1 - low))
    return result


def _redrawn(curve: MeasuredErrors, draw: np.random.Generator) -> Float64s:
    """Draw the error at each size again: its repeats with replacement, or its scored images where there is one repeat.

    The images of each size are drawn apart though they are the same ones: two trainings differ by more than their images.
    """
    repeats = curve.errors_SR.shape[1]
    if repeats == 1:
        return draw.binomial(curve.held_out, curve.errors_SR[:, 0]) / curve.held_out
    return np.asarray(curve.errors_SR[:, draw.integers(0, repeats, repeats)].mean(axis=1))


def _least_spans(curve: MeasuredErrors) -> list[tuple[float, float]]:
    """Return, for each size, the interval that the accuracy has at least: Wilson's where all repeats agree, else nothing.

    Repeats that are all right show no spread, and so many images do not prove that there is none.
    """
    spans = []
    for errors in curve.errors_SR:
        right = round((1 - float(errors.mean())) * curve.held_out)
        agree = curve.held_out and float(errors.max() - errors.min()) == 0.0
        spans.append(intervals.wilson(right, curve.held_out) if agree else (1.0, 0.0))
    return spans


def _quantile(curve: MeasuredErrors) -> float:
    repeats = curve.errors_SR.shape[1]
    return intervals.student_quantile(0.95, repeats - 1) if repeats > 1 else 1.96


def measured(curve: MeasuredErrors) -> list[Expected]:
    """Return the mean accuracy at each size with its 95 % interval: over the repeats (Student's t), of one repeat Wilson's."""
    repeats = curve.errors_SR.shape[1]
    means = 1 - curve.errors_SR.mean(axis=1)
    if repeats == 1:
        spans = [intervals.wilson(round(float(a) * curve.held_out), curve.held_out) for a in means]
        return [
            Expected(images=int(n), accuracy=float(a), low=min(low, float(a)), high=max(high, float(a)))
            for n, a, (low, high) in zip(curve.sizes, means, spans, strict=True)
        ]
    reach = _quantile(curve) * curve.errors_SR.std(axis=1, ddof=1) / np.sqrt(repeats)
    return [
        Expected(images=int(n), accuracy=float(a), low=max(0.0, min(a - r, low)), high=min(1.0, max(a + r, high)))
        for n, a, r, (low, high) in zip(curve.sizes, means.tolist(), reach.tolist(), _least_spans(curve), strict=True)
    ]


def _error(law: tuple[float, float, float], images: int) -> float:
    floor, scale, rate = law
    return float(np.clip(floor + scale * float(images) ** -rate, 0.0, 1.0))


def classes_that_gain(curve: MeasuredErrors, count: int = 3) -> list[tuple[int, float]]:
    """List the classes whose error fell most from half to all of the images, with the fall (above 0), largest first.

    Where the turned images are counted, a fall that chance brings in one of ten cases is left out (one-sided sign test).
    """
    fall = np.nan_to_num(curve.class_errors_SK[-2] - curve.class_errors_SK[-1], nan=0.0)
    beyond = fall > 0
    if curve.turned_K2 is not None:
        beyond &= [guessing.sign_test(int(right), int(wrong)) <= GAIN_LEVEL for right, wrong in curve.turned_K2]
    return [(int(k), float(fall[k])) for k in np.argsort(-fall, kind="stable") if beyond[k]][:count]
