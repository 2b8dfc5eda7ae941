"""The nearest neighbours of feature vectors by cosine, in pieces of bounded memory.

In: features (N, D). Out: similarities and positions, nearest first. Used by `suspects` and `novelty`.
Does NOT cover: approximate search; 50,000 x 50,000 images of 1,280 features take about a minute on two cores.
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import Float32s, Floats, Rows

_CHUNK = 1024  # queries at once


def unit(features_ND: Floats) -> Float32s:
    """Scale each row to length 1, float32; a row of zeros stays zeros."""
    features_ND = np.asarray(features_ND, dtype=np.float32)
    length_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    return np.asarray(features_ND / np.maximum(length_N1, 1e-12), dtype=np.float32)


def nearest(queries_MD: Float32s, bank_ND: Float32s, k: int, *, skip_self: bool = False) -> tuple[Float32s, Rows]:
    """Return the similarities and positions (M, k) of the `k` rows of `bank_ND` nearest to each query, nearest first.

    Both are unit rows. With `skip_self` query i is row i of the bank and is not its own neighbour. `k` is at most the
    number of rows (less one with `skip_self`). Ties go to the lower position.
    """
    k = min(k, len(bank_ND) - skip_self)
    similarities, positions = np.empty((len(queries_MD), k), np.float32), np.empty((len(queries_MD), k), np.int64)
    for start in range(0, len(queries_MD), _CHUNK):
        piece = queries_MD[start : start + _CHUNK] @ bank_ND.T
        if skip_self:
            piece[np.arange(len(piece)), start + np.arange(len(piece))] = -np.inf
        order = np.argsort(-piece, axis=1, kind="stable")[:, :k]
        positions[start : start + len(piece)] = order
        similarities[start : start + len(piece)] = np.take_along_axis(piece, order, axis=1)
    return similarities, positions
