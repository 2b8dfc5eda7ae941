"""Whether an image is unlike the training images: an empirical p-value from nearest neighbours on features.

In: features of training images, then of new ones. Out: for a new image, the share of known images that are as far from
their nearest training images. "Known" are the training images, each without its own group, or, of a network trained on
them, held-out images of a fold: such a network brings the images that it has seen closer together than new ones.
Does NOT cover: a new class that resembles a training class; its images are near the others and are not caught.
Sources: nearest neighbours on normalised features, Sun et al. 2022 (2204.06507); the p-value is conformal: Vovk, Gammerman
and Shafer 2005, so that at rate a about a of images like the known ones are flagged.
Legend: N training images, R known ones, M new ones, D features.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from advisor.aliases import Bools, Float32s, Float64s, Floats, Ints
from advisor.metrics import intervals, neighbours

K = 10  # neighbours whose mean similarity counts
LEAST = 20  # training or known images below which no share is worth stating
_CHUNK = 1024  # new images at once
_NONE = np.zeros(0, dtype=np.float32)
_NO_GROUPS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class NoveltyIndex:
    """Unit features of training images (N, D), rounded to float16, and sorted similarities to their `k` nearest:
    of the known images (R,), and of test images (M,) on which false alarms are counted, if there are any, with the
    numbers of their groups (M,), () where each is its own."""

    bank_ND: Float32s
    known_R: Float32s
    held_out_M: Float32s = field(default_factory=lambda: _NONE)
    group_M: Ints = field(default_factory=lambda: _NO_GROUPS)
    k: int = K

    @property
    def smallest_rate(self) -> float:
        """The smallest p-value that so many known images allow, above 0."""
        return 1.0 / (1 + len(self.known_R))


def build(
    features_ND: Floats, known_RD: Floats | None = None, *, groups_N: Ints | None = None, k: int = K
) -> NoveltyIndex | None:
    """Build the index from features of training images; None below `LEAST` images, or if all are of one group.

    `known_RD` are features of images that the network was not trained on; without them each training image is compared
    with the others, those of its own group (`groups_N`) left out: a new image has no such copies among them.
    """
    if len(features_ND) < LEAST or (known_RD is not None and len(known_RD) < LEAST):
        return None
    bank_ND = neighbours.unit(neighbours.unit(features_ND).astype(np.float16))
    if known_RD is None:
        own_N = np.arange(len(bank_ND)) if groups_N is None else np.unique(groups_N, return_inverse=True)[1]
        k = min(k, len(bank_ND) - int(np.bincount(own_N).max()))
        if k < 1:
            return None
        similar = _mean_of_nearest(bank_ND, bank_ND, k, own_N)
    else:
        similar = _mean_of_nearest(neighbours.unit(known_RD), bank_ND, k)
    return NoveltyIndex(bank_ND=bank_ND, known_R=np.sort(similar), k=k)


def with_held_out(index: NoveltyIndex, features_MD: Floats, groups_M: Ints | None = None) -> NoveltyIndex:
    """Return the index with the similarities of held-out images, on which false alarms are counted.

    Images of one of the `groups_M` are one piece of evidence.
    """
    similar_M = similarity(index, features_MD)
    order_M = np.argsort(similar_M, kind="stable")
    is_grouped = groups_M is not None and len(np.unique(groups_M)) < len(similar_M)
    group_M = np.asarray(groups_M, dtype=np.int64)[order_M] if is_grouped else _NO_GROUPS
    return replace(index, held_out_M=similar_M[order_M], group_M=group_M)


def similarity(index: NoveltyIndex, features_MD: Floats) -> Float32s:
    """Return the mean cosine similarity (M,) to the nearest training images."""
    return _mean_of_nearest(neighbours.unit(features_MD), index.bank_ND, index.k)


def p_values(index: NoveltyIndex, features_MD: Floats) -> Float64s:
    """Return the share (M,), above 0 to 1, of known images that are as unlike the training images as each new one."""
    return _p_values(index, similarity(index, features_MD))


def threshold(index: NoveltyIndex, rate: float) -> float:
    """Return the similarity below which an image is unlike the training images at a false-alarm rate in 0..1.

    Raises ValueError for a rate below the smallest possible one, or of 1 and more.
    """
    most_below = int(np.floor(rate * (1 + len(index.known_R)) - 1 + 1e-9))
    if not 0 <= most_below < len(index.known_R):
        raise ValueError(f"no threshold at a rate of {rate:g} with {len(index.known_R)} known images")
    return float(index.known_R[most_below])


def unlike(index: NoveltyIndex, features_MD: Floats, rate: float) -> Bools:
    """Return which images (M,) to answer with "unknown" at a false-alarm rate in 0..1."""
    return np.asarray(p_values(index, features_MD) <= rate)


def false_alarms(index: NoveltyIndex, rate: float) -> tuple[int, int]:
    """Return how many held-out images would be called unknown at this rate, and how many there are."""
    return int((_p_values(index, index.held_out_M) <= rate).sum()), len(index.held_out_M)


def false_alarm_interval(index: NoveltyIndex, rate: float) -> tuple[float, float]:
    """Return the 95 % interval of the share of new images that would be called unknown; (0, 1) without held-out images."""
    flagged_M = _p_values(index, index.held_out_M) <= rate
    if len(index.group_M):
        return intervals.grouped_wilson(flagged_M, index.group_M)
    return intervals.wilson(int(flagged_M.sum()), len(flagged_M))


def _p_values(index: NoveltyIndex, similar_M: Float32s) -> Float64s:
    below = np.searchsorted(index.known_R, similar_M, side="right")
    return np.asarray((1 + below) / (1 + len(index.known_R)), dtype=np.float64)


def _mean_of_nearest(queries_MD: Float32s, bank_ND: Float32s, k: int, own_N: Ints | None = None) -> Float32s:
    """Return the mean similarity (M,) to the `k` nearest rows of the bank.

    With `own_N` query i is row i of the bank, and no row with its number is its neighbour.
    """
    k = min(k, len(bank_ND))
    means = [_NONE]
    for start in range(0, len(queries_MD), _CHUNK):
        piece = queries_MD[start : start + _CHUNK] @ bank_ND.T
        if own_N is not None:
            piece[own_N[start : start + len(piece), None] == own_N] = -np.inf
        piece.partition(piece.shape[1] - k, axis=1)  # not sorted: that would take ten times as long
        means.append(piece[:, piece.shape[1] - k :].mean(axis=1))
    return np.concatenate(means).astype(np.float32)
