"""The nearest neighbours of feature vectors by cosine, in pieces of bounded memory.

In: features (N, D). Out: similarities and positions, nearest first. Every query sorts the whole bank, which suits a few
queries. Does NOT cover: approximate search, the mean similarity of many queries (`novelty`).
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import Bools, Float32s, Floats, Rows

_CHUNK = 1024  # queries at once


def unit(features_ND: Floats) -> Float32s:
    """Scale each row to length 1, float32; a row of zeros stays zeros."""
    features_ND = np.asarray(features_ND, dtype=np.float32)
    length_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    return np.asarray(features_ND / np.maximum(length_N1, 1e-12), dtype=np.float32)


def nearest(
    queries_MD: Float32s, bank_ND: Float32s, k: int, *, excluded_MN: Bools | None = None
) -> tuple[Float32s, Rows]:
    """Return the similarities and positions (M, k) of the `k` rows of `bank_ND` nearest to each query, nearest first.

    Both are unit rows. `excluded_MN` marks rows that are no neighbours of a query: they come last, at a similarity of -inf.
    `k` is at most the number of rows. Ties go to the lower position.
    """
    k = min(k, len(bank_ND))
    similarities, positions = np.empty((len(queries_MD), k), np.float32), np.empty((len(queries_MD), k), np.int64)
    for start in range(0, len(queries_MD), _CHUNK):
        piece = queries_MD[start : start + _CHUNK] @ bank_ND.T
        if excluded_MN is not None:
            piece[excluded_MN[start : start + len(piece)]] = -np.inf
        order = np.argsort(-piece, axis=1, kind="stable")[:, :k]
        positions[start : start + len(piece)] = order
        similarities[start : start + len(piece)] = np.take_along_axis(piece, order, axis=1)
    return similarities, positions
