"""Which images a step sees: an endless row of epochs, each a fresh order drawn from (seed, purpose, epoch, image).

In: image ids, a seed, a purpose, a batch size. Out: positions and rounds of any step, without earlier steps.
A batch may straddle two epochs, so that all batches have one size (BatchNorm and caches like that), and every image is
seen once before any is seen twice. `EpisodeSampler` gives few-shot episodes instead, a function of (seed, step) as well.
Does NOT cover: pixels (`augmentation`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from advisor.aliases import Rows
from advisor.errors import TrialError
from advisor.records.plan import Batches
from advisor.runtime import rng
from advisor.training import episodes


class BatchSampler:
    """The order of N images for a seed and a purpose; holds no state but a small memory of orders."""

    def __init__(self, ids: npt.ArrayLike, *, seed: int, batch: int, purpose: str = "order") -> None:
        self.ids = np.asarray(ids, dtype=np.uint64)
        self.seed = seed
        self.purpose = purpose
        self.batch = max(1, min(batch, len(self.ids)))
        self._orders: dict[int, Rows] = {}

    def at(self, step: int) -> tuple[Rows, Rows]:
        """Return the positions (B,) of a step's images among the ids, and how often each was seen before."""
        serial = np.arange(step * self.batch, (step + 1) * self.batch)
        rounds = serial // len(self.ids)
        positions = np.array([self._order(int(r))[p] for r, p in zip(rounds, serial % len(self.ids), strict=True)])
        return positions, rounds

    def _order(self, epoch: int) -> Rows:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}  # two epochs meet in a batch
            self._orders[epoch] = rng.order(self.seed, self.purpose, epoch, self.ids)
        return self._orders[epoch]


class EpisodeSampler:
    """Few-shot episodes as the batches of a training: step t is episode t of the seed, class by class, support first.

    Labels and ids are those of the images that train. Raises TrialError where too few classes have enough images.
    """

    def __init__(self, labels: npt.NDArray[np.int64], ids: npt.ArrayLike, stream: Batches, *, seed: int) -> None:
        each = stream.shots + stream.queries
        self.batch = stream.ways * each
        self.support: npt.NDArray[np.bool_] = np.tile(np.arange(each) < stream.shots, stream.ways)
        hashes = np.asarray(ids, dtype=np.uint64)
        try:
            self._drawer = episodes.Drawer(
                labels, hashes, ways=stream.ways, each=each, seed=seed, purpose="training episode"
            )
        except ValueError as error:
            raise TrialError(f"no episode can be drawn: {error}") from None

    def at(self, step: int) -> tuple[Rows, Rows]:
        """Return the positions (B,) of a step's images, and the step as their round: every episode has fresh views."""
        return self._drawer.images(step).reshape(-1), np.full(self.batch, step)
