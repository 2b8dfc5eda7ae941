"""Few-shot episodes: N classes, K labelled images of each and some to be told apart, drawn from a seed.

In: labels. Out: rows of support and query images. An episode is a function of (seed, number, images): neither the order
of rows nor other episodes change it. Does NOT cover: features and heads (`episode_heads`), scores (`fewshot`).
Source: the protocol of Vinyals et al. 2016 (1606.04080), 15 queries a class as in Snell et al. 2017 (1703.05175).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor import randomness
from advisor.errors import InputError

Ints = npt.NDArray[np.int64]
QUERIES = 15


@dataclass(frozen=True)
class Episodes:
    """`classes` (E, W), `support` (E, W, S) rows, `queries` (E, W, Q) rows, of E episodes."""

    classes: Ints
    support: Ints
    queries: Ints


def eligible(labels: npt.NDArray[np.integer], needed: int) -> Ints:
    """List the classes with at least `needed` images."""
    return np.flatnonzero(np.bincount(labels) >= needed).astype(np.int64)


def draw(
    labels: npt.NDArray[np.integer],
    ids: npt.NDArray[np.uint64],
    *,
    ways: int,
    shots: int,
    queries: int,
    count: int,
    seed: int,
) -> Episodes:
    """Draw `count` episodes; support and queries of an episode share no image. `ids` name the images.

    Raises InputError where fewer than `ways` classes have `shots + queries` images.
    """
    usable = eligible(labels, shots + queries)
    if len(usable) < ways:
        raise InputError(
            f"{ways}-way {shots}-shot with {queries} queries needs {ways} classes with {shots + queries} images; "
            f"there are {len(usable)}:",
            hint="take fewer --ways, --shots or --queries.",
        )
    rows = {int(c): np.flatnonzero(labels == c) for c in usable}
    classes = np.stack(
        [usable[randomness.permutation(seed, "episode classes", e, len(usable))[:ways]] for e in range(count)]
    )
    drawn = np.empty((count, ways, shots + queries), dtype=np.int64)
    for e in range(count):
        for w, c in enumerate(classes[e]):
            own = rows[int(c)]
            order = randomness.order(seed, "episode images", e, ids[own])
            drawn[e, w] = own[order[: shots + queries]]
    return Episodes(classes, drawn[:, :, :shots], drawn[:, :, shots:])
