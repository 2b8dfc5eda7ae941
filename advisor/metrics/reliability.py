"""How reliable stated probabilities are: confidence against accuracy, with what chance alone explains.

In: probabilities (N, K) and labels (N). Out: bins of a reliability diagram with Wilson intervals, the mean
overconfidence with its interval, and the calibration error that a perfectly calibrated model would still show with so few
images (consistency resampling: Broecker & Smith 2007, Weather and Forecasting 22, 651-661). Numpy only.
Does NOT cover: the calibration error itself and the temperature (`classification`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.metrics import intervals

PER_BIN = 20  # images, at least, so that a bin's interval says something
MOST_BINS = 10
ECE_BINS = 15  # equal-width, as `classification.ece` has them
DRAWS = 500


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Images of similar confidence: how many, their mean confidence, and the share that was right with its interval."""

    n: int
    confidence: float
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The diagram's bins; mean confidence minus accuracy with its 95 % interval; the error that chance alone explains."""

    bins: tuple[ReliabilityBin, ...]
    overconfidence: float
    ci95: tuple[float, float]
    ece_by_chance: float


def measure(
    probabilities_NK: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    groups_N: NDArray[np.integer] | None = None,
    *,
    seed: int = 0,
) -> Reliability:
    """Compare confidences with outcomes. `ece_by_chance` is the 95 % quantile under perfect calibration.

    Images of one of the `groups_N` are one piece of evidence for bins and the mean overconfidence; `ece_by_chance` takes
    them to be right and wrong together as much as they are here.

    Raises ValueError without images.
    """
    if not len(labels_N):
        raise ValueError("reliability needs at least one image")
    table_NK = np.asarray(probabilities_NK, dtype=np.float64)
    confidence_N = table_NK.max(axis=1)
    right_N = table_NK.argmax(axis=1) == labels_N
    gap_N = confidence_N - right_N
    member_N = np.unique(np.arange(len(gap_N)) if groups_N is None else groups_N, return_inverse=True)[1]
    half = _half_width(gap_N, confidence_N, member_N)
    mean = float(gap_N.mean())
    return Reliability(
        bins=_bins(confidence_N, right_N, member_N),
        overconfidence=mean,
        ci95=(max(-1.0, mean - half), min(1.0, mean + half)),
        ece_by_chance=_by_chance(confidence_N, member_N, _alike(gap_N, confidence_N, member_N), seed),
    )


def _half_width(gap_N: NDArray[np.float64], confidence_N: NDArray[np.float64], member_N: NDArray[np.integer]) -> float:
    """Return half the width of the 95 % interval of the mean gap; 1 for a single image or group.

    Where few images are all right, the gaps hardly vary, and a model that is right as often as it says would look
    underconfident: the variance is at least what perfect calibration brings, confidence x (1 - confidence) an image.
    """
    count, n = int(member_N.max()) + 1, len(gap_N)
    if count < 2:
        return 1.0
    surplus = np.bincount(member_N, weights=gap_N - gap_N.mean())
    variance = max(
        count / (count - 1) * float(surplus @ surplus) / n**2, float((confidence_N * (1 - confidence_N)).sum()) / n**2
    )
    return float(intervals.student_quantile(0.95, count - 1) * np.sqrt(variance))


def _bins(
    confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_], member_N: NDArray[np.integer]
) -> tuple[ReliabilityBin, ...]:
    """Divide the images into bins of equal size, from the least to the most confident."""
    count = int(np.clip(len(confidence_N) // PER_BIN, 1, MOST_BINS))
    parts = np.array_split(np.argsort(confidence_N, kind="stable"), count)
    return tuple(
        ReliabilityBin(
            n=len(rows),
            confidence=float(confidence_N[rows].mean()),
            accuracy=float(right_N[rows].mean()),
            ci95=intervals.grouped_wilson(right_N[rows], member_N[rows]),
        )
        for rows in parts
    )


def _alike(gap_N: NDArray[np.float64], confidence_N: NDArray[np.float64], member_N: NDArray[np.integer]) -> float:
    """Return the correlation 0..1 of the gaps of two images of one group; 1 where nothing varies, so nothing shows it.

    Source: the moment estimate of an intraclass correlation (Ridout, Demetrio and Firth 1999, Biometrics 55, 137-148).
    """
    sizes = np.bincount(member_N)
    pairs = float((sizes * (sizes - 1)).sum())
    surplus_N = gap_N - gap_N.mean()
    expected = float((confidence_N * (1 - confidence_N)).mean())
    variance = float((surplus_N**2).mean())
    if not pairs or variance < 0.1 * expected:
        return 1.0
    sums = np.bincount(member_N, weights=surplus_N)
    together = (float(sums @ sums) - float(surplus_N @ surplus_N)) / pairs
    return float(np.clip(together / variance, 0.0, 1.0))


def _by_chance(confidence_N: NDArray[np.float64], member_N: NDArray[np.integer], alike: float, seed: int) -> float:
    """Return the 95 % quantile of the calibration error where every answer is right with its stated confidence.

    Each image takes the draw of its group with the probability of sqrt(alike), else one of its own: two of a group are then
    right together as often as their correlation says, and every one as often as its confidence.
    """
    draw = np.random.default_rng(seed)
    bin_N = np.clip(np.ceil(confidence_N * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    n, count = len(confidence_N), int(member_N.max()) + 1
    errors = []
    for _ in range(DRAWS):
        drawn_N = draw.random(n)
        if count < n:
            drawn_N = np.where(draw.random(n) < np.sqrt(alike), draw.random(count)[member_N], drawn_N)
        gap_N = (drawn_N < confidence_N) - confidence_N
        errors.append(np.abs(np.bincount(bin_N, weights=gap_N)).sum() / n)
    return float(np.quantile(errors, 0.95))
