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

    Images of one of the `groups_N` are one piece of evidence for the mean overconfidence.

    Raises ValueError without images.
    """
    if not len(labels_N):
        raise ValueError("reliability needs at least one image")
    table_NK = np.asarray(probabilities_NK, dtype=np.float64)
    confidence_N = table_NK.max(axis=1)
    right_N = table_NK.argmax(axis=1) == labels_N
    gap_N = confidence_N - right_N
    half = _half_width(gap_N, confidence_N, np.arange(len(gap_N)) if groups_N is None else groups_N)
    mean = float(gap_N.mean())
    return Reliability(
        bins=_bins(confidence_N, right_N),
        overconfidence=mean,
        ci95=(max(-1.0, mean - half), min(1.0, mean + half)),
        ece_by_chance=_by_chance(confidence_N, seed),
    )


def _half_width(gap_N: NDArray[np.float64], confidence_N: NDArray[np.float64], groups_N: NDArray[np.integer]) -> float:
    """Return half the width of the 95 % interval of the mean gap; 1 for a single image or group.

    Where few images are all right, the gaps hardly vary, and a model that is right as often as it says would look
    underconfident: the variance is at least what perfect calibration brings, confidence x (1 - confidence) an image.
    """
    member_N = np.unique(groups_N, return_inverse=True)[1]
    count, n = int(member_N.max()) + 1, len(gap_N)
    if count < 2:
        return 1.0
    surplus = np.bincount(member_N, weights=gap_N - gap_N.mean())
    variance = max(
        count / (count - 1) * float(surplus @ surplus) / n**2, float((confidence_N * (1 - confidence_N)).sum()) / n**2
    )
    return float(intervals.student_quantile(0.95, count - 1) * np.sqrt(variance))


def _bins(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Divide the images into bins of equal size, from the least to the most confident."""
    count = int(np.clip(len(confidence_N) // PER_BIN, 1, MOST_BINS))
    parts = np.array_split(np.argsort(confidence_N, kind="stable"), count)
    return tuple(
        ReliabilityBin(
            n=len(rows),
            confidence=float(confidence_N[rows].mean()),
            accuracy=float(right_N[rows].mean()),
            ci95=intervals.wilson(int(right_N[rows].sum()), len(rows)),
        )
        for rows in parts
    )


def _by_chance(confidence_N: NDArray[np.float64], seed: int) -> float:
    """Return the 95 % quantile of the calibration error where every answer is right with its stated confidence."""
    draw = np.random.default_rng(seed)
    bin_N = np.clip(np.ceil(confidence_N * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    right_DN = draw.random((DRAWS, len(confidence_N))) < confidence_N
    gap_DN = right_DN - confidence_N
    one_hot_NB = np.eye(ECE_BINS)[bin_N]
    errors_D = np.abs(gap_DN @ one_hot_NB).sum(axis=1) / len(confidence_N)
    return float(np.quantile(errors_D, 0.95))
