"""Which unlabelled images to label next: those a model is unsure of, and unlike each other.

In: probabilities (M, K) and features (M, D) of unlabelled images, optionally p-values of their novelty. Out: positions in
the order in which a person should label; images unlike all training images stand apart, since they may be no members of
any class. Does NOT cover: asking the person. Source: uncertainty-weighted k-means++ seeding, as in BADGE (Ash et al. 2020,
1906.03671), here on features scaled by the margin, and greedy instead of drawn, so that the list is reproducible.
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import Float64s, Floats, Rows
from advisor.metrics import neighbours

NOVEL = 0.01  # p-value up to which an image stands apart


def uncertainty(probabilities_MK: Floats) -> Float64s:
    """Return 1 less the margin between the two most probable classes, (M,), 0 (sure) to 1 (undecided)."""
    ordered = np.sort(np.asarray(probabilities_MK, dtype=np.float64), axis=1)
    return np.asarray(1.0 - (ordered[:, -1] - ordered[:, -2])) if ordered.shape[1] > 1 else np.zeros(len(ordered))


def rank(
    probabilities_MK: Floats,
    features_MD: Floats,
    count: int,
    *,
    p_values_M: Floats | None = None,
    novel: float = NOVEL,
) -> Rows:
    """Choose `count` images to label, best first: each is the most uncertain times most distant from those before it.

    Images with a p-value up to `novel` are left out (`apart`).
    """
    units_MD = neighbours.unit(features_MD)
    weight = uncertainty(probabilities_MK)
    free = np.ones(len(weight), dtype=bool) if p_values_M is None else np.asarray(p_values_M) > novel
    distance = np.ones(len(weight))
    chosen: list[int] = []
    while len(chosen) < count and free.any():
        value = np.where(free, weight * distance, -1.0)
        best = int(value.argmax())
        chosen.append(best)
        free[best] = False
        distance = np.minimum(distance, np.clip(1.0 - units_MD @ units_MD[best], 0.0, 1.0))
    return np.array(chosen, dtype=np.int64)


def apart(p_values_M: Floats, *, novel: float = NOVEL) -> Rows:
    """List images that are unlike all training images, most unlike first."""
    p_M = np.asarray(p_values_M)
    order = np.argsort(p_M, kind="stable")
    return np.asarray(order[p_M[order] <= novel])
