"""Few-shot episodes: N classes, K labelled images of each and some query images, drawn from a seed.

In: labels. Out: rows of support and query images. An episode is a function of (seed, number, images): neither the order
of rows nor other episodes change it. Serves evaluation (`draw`) and training, whose steps are episodes (`batch_sampler`).
Does NOT cover: heads (`heads.episodic`), scores (`workflows.fewshot`).
Source: the protocol of Vinyals et al. 2016 (1606.04080), 15 queries a class as in Snell et al. 2017 (1703.05175).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.aliases import Rows
from advisor.errors import InputError
from advisor.runtime import rng

QUERIES = 15


@dataclass(frozen=True)
class Episodes:
    """`classes` (E, W), `support` (E, W, S) rows, `queries` (E, W, Q) rows, of E episodes."""

    classes: Rows
    support: Rows
    queries: Rows


def eligible(labels: npt.NDArray[np.integer], needed: int) -> Rows:
    """List the classes with at least `needed` images."""
    return np.flatnonzero(np.bincount(labels) >= needed).astype(np.int64)


class Drawer:
    """Draws single episodes of `ways` classes with `each` images; `purpose` keeps its draws apart from others'.

    `ids` name the images. Raises ValueError where fewer than `ways` classes have `each` images.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.integer],
        ids: npt.NDArray[np.uint64],
        *,
        ways: int,
        each: int,
        seed: int,
        purpose: str = "episode",
    ) -> None:
        self.ways, self.each = ways, each
        self._usable = eligible(labels, each)
        if len(self._usable) < ways:
            raise ValueError(f"{len(self._usable)} classes have {each} images, expected {ways}")
        self._rows = {int(c): np.flatnonzero(labels == c) for c in self._usable}
        self._ids, self._seed, self._purpose = ids, seed, purpose

    def classes(self, number: int) -> Rows:
        """Return the classes (W,) of an episode."""
        order = rng.permutation(self._seed, f"{self._purpose} classes", number, len(self._usable))
        return self._usable[order[: self.ways]]

    def images(self, number: int) -> Rows:
        """Return the rows (W, each) of an episode, class by class in the order of `classes`."""
        drawn = np.empty((self.ways, self.each), dtype=np.int64)
        for w, c in enumerate(self.classes(number)):
            members = self._rows[int(c)]
            drawn[w] = members[
                rng.order(self._seed, f"{self._purpose} images", number, self._ids[members])[: self.each]
            ]
        return drawn


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
    usable = len(eligible(labels, shots + queries))
    if usable < ways:
        raise InputError(
            f"{ways}-way {shots}-shot with {queries} queries needs {ways} classes with {shots + queries} images; "
            f"there are {usable}:",
            hint="take fewer --ways, --shots or --queries.",
        )
    drawer = Drawer(labels, ids, ways=ways, each=shots + queries, seed=seed)
    classes = np.stack([drawer.classes(e) for e in range(count)])
    drawn = np.stack([drawer.images(e) for e in range(count)])
    return Episodes(classes, drawn[:, :, :shots], drawn[:, :, shots:])
