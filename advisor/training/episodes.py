"""Few-shot episodes: N classes, K labelled images of each and some query images, drawn from a seed.

In: labels. Out: rows of support and query images. An episode is a function of (seed, number, images): neither the order
of rows nor other episodes change it. Serves evaluation (`draw`), which keeps images of one group on one side of an episode,
and training, whose steps are episodes (`batch_sampler`).
Does NOT cover: heads (`heads.episodic`), scores (`workflows.fewshot`).
Source: the protocol of Vinyals et al. 2016 (1606.04080), 15 queries per class as in Snell et al. 2017 (1703.05175).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.aliases import Rows
from advisor.errors import InputError
from advisor.runtime import rng


@dataclass(frozen=True)
class Episodes:
    """`classes` (E, W), `support` (E, W, S) rows, `queries` (E, W, Q) rows, of E episodes."""

    classes: Rows
    support: Rows
    queries: Rows


def eligible(labels: npt.NDArray[np.integer], needed: int, groups: npt.NDArray[np.integer] | None = None) -> Rows:
    """List the classes with at least `needed` images.

    Where images of one group must be all support or all queries, its largest group counts as one image: then any order of
    the groups can be divided.
    """
    counts = np.bincount(labels)
    if groups is not None:
        (classes, _), sizes = np.unique(np.stack((labels, groups)), axis=1, return_counts=True)
        largest = np.ones_like(counts)
        np.maximum.at(largest, classes, sizes)
        counts = counts - largest + 1
    return np.flatnonzero(counts >= needed).astype(np.int64)


class Drawer:
    """Draws single episodes of `ways` classes with `each` images; `purpose` keeps its draws apart from others'.

    `ids` name the images. With `groups`, the first `shots` images of a class share no group with the others, nor with those of
    other classes of the episode where these have enough images without. Raises ValueError where fewer than `ways` classes have
    `each` images.
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
        shots: int = 0,
        groups: npt.NDArray[np.integer] | None = None,
    ) -> None:
        self.ways, self.each = ways, each
        self._usable = eligible(labels, each, groups)
        self._shots, self._groups = shots, groups
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
        asked: dict[int, bool] = {}  # groups of the classes so far, and whether they are queries
        for w, c in enumerate(self.classes(number)):
            members = self._rows[int(c)]
            members = members[rng.order(self._seed, f"{self._purpose} images", number, self._ids[members])]
            if self._groups is not None:
                members = members[_divided(self._groups[members], self._shots, self.each - self._shots, asked)]
                for position, group in enumerate(self._groups[members].tolist()):
                    asked.setdefault(group, position >= self._shots)
            drawn[w] = members[: self.each]
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
    groups: npt.NDArray[np.integer] | None = None,
) -> Episodes:
    """Draw `count` episodes; support and queries of an episode share no image, nor a group. `ids` name the images.

    Without groups of several images an episode is what it is without `groups`. Raises InputError where fewer than `ways`
    classes have `shots + queries` images.
    """
    usable = len(eligible(labels, shots + queries, groups))
    if usable < ways:
        counted = (
            " (all similar images of a group on one side)" if len(eligible(labels, shots + queries)) > usable else ""
        )
        raise InputError(
            f"{ways}-way {shots}-shot with {queries} queries needs {ways} classes with {shots + queries} training "
            f"images{counted}; there are {usable}:",
            hint="take fewer --ways, --shots or --queries.",
        )
    drawer = Drawer(labels, ids, ways=ways, each=shots + queries, seed=seed, shots=shots, groups=groups)
    classes = np.stack([drawer.classes(e) for e in range(count)])
    drawn = np.stack([drawer.images(e) for e in range(count)])
    return Episodes(classes, drawn[:, :, :shots], drawn[:, :, shots:])


def _divided(groups_N: npt.NDArray[np.integer], shots: int, queries: int, fixed: Mapping[int, bool]) -> Rows:
    """Return which of a class's images, in their drawn order, are `shots` of support and then `queries`, no group in both.

    Whole groups, from the one after the first `shots` on and then from the start, serve as queries until there are enough
    images; the support is the first images of the others. Groups that other classes have `fixed` as queries or as support stay
    so, where enough images remain.
    """
    order = list(dict.fromkeys(groups_N.tolist()))
    sizes = np.bincount(groups_N)
    start = min(shots, len(order) - 1)
    asked = {group for group in order if fixed.get(group, False)}
    enough = sum(int(sizes[group]) for group in asked)
    for group in (*order[start:], *order[:start]):
        if enough >= queries:
            break
        if group not in fixed:
            asked.add(group)
            enough += int(sizes[group])
    is_query = np.array([group in asked for group in groups_N.tolist()])
    if fixed and (enough < queries or (~is_query).sum() < shots):
        return _divided(groups_N, shots, queries, {})
    return np.concatenate((np.flatnonzero(~is_query)[:shots], np.flatnonzero(is_query)[:queries]))
