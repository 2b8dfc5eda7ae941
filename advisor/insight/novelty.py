"""Whether an image is unlike the training images: an empirical p-value from nearest neighbours on features.

In: features of the training images, then of new ones. Out: for a new image, the share of training images that are as far
from their own nearest neighbours. The index is small (at most `MOST` images, float16) and travels with the model.
Does NOT cover: a new class that resembles a training class; its images are near the others and are not caught.
Sources: nearest neighbours on normalised features, Sun et al. 2022 (2204.06507); the p-value is conformal: Vovk, Gammerman
and Shafer 2005 (each training image is scored without itself), so that at rate a about a of images like those are flagged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advisor.aliases import Bools, Float32s, Float64s, Floats
from advisor.insight import neighbours
from advisor.runtime import rng

K = 10  # neighbours whose mean similarity counts
MOST = 5_000  # training images in the index: 13 MB of float16 at 1,280 features
LEAST = 20  # training images below which no share is worth stating


@dataclass(frozen=True, kw_only=True)
class NoveltyIndex:
    """Unit features of training images (N, D) float16, and each one's similarity to its own neighbours, sorted."""

    bank_ND: np.ndarray[tuple[int, int], np.dtype[np.float16]]
    similarities_N: Float32s
    k: int = K


def build(features_ND: Floats, *, seed: int = 0, k: int = K, most: int = MOST) -> NoveltyIndex | None:
    """Build the index from the training images' features; None below `LEAST` images.

    Above `most` images a random part (from `seed`) is kept.
    """
    if len(features_ND) < LEAST:
        return None
    rows = np.sort(rng.permutation(seed, "novelty", 0, len(features_ND))[:most])
    bank_ND = neighbours.unit(np.asarray(features_ND)[rows]).astype(np.float16)
    units_ND = neighbours.unit(bank_ND)
    similar, _ = neighbours.nearest(units_ND, units_ND, k, skip_self=True)
    return NoveltyIndex(bank_ND=bank_ND, similarities_N=np.sort(similar.mean(axis=1)), k=k)


def similarity(index: NoveltyIndex, features_MD: Floats) -> Float32s:
    """Return the mean cosine similarity (M,) to the nearest training images."""
    similar, _ = neighbours.nearest(neighbours.unit(features_MD), neighbours.unit(index.bank_ND), index.k)
    return np.asarray(similar.mean(axis=1))


def p_values(index: NoveltyIndex, features_MD: Floats) -> Float64s:
    """Return the share (M,), above 0 to 1, of training images that are as unlike the others as each new image, or more."""
    below = np.searchsorted(index.similarities_N, similarity(index, features_MD), side="right")
    return np.asarray((1 + below) / (1 + len(index.similarities_N)), dtype=np.float64)


def unlike(index: NoveltyIndex, features_MD: Floats, rate: float) -> Bools:
    """Return which images (M,) to answer with "unknown" at a false-alarm rate in 0..1."""
    return np.asarray(p_values(index, features_MD) <= rate)
