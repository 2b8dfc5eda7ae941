"""Which images a step sees: an endless row of epochs, each a fresh order drawn from (seed, purpose, epoch, image).

In: image ids, a seed, a purpose, a batch size. Out: positions and rounds of any step, without earlier steps.
A batch may straddle two epochs, so that all batches have one size (BatchNorm and caches like that), and every image is
seen once before any is seen twice.
Does NOT cover: pixels (`augment`), labels, few-shot episodes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from advisor import randomness

Ints = npt.NDArray[np.int64]


class Stream:
    """The order of N images for a seed and a purpose; holds no state but a small memory of orders."""

    def __init__(self, ids: npt.ArrayLike, *, seed: int, batch: int, purpose: str = "order") -> None:
        self.ids = np.asarray(ids, dtype=np.uint64)
        self.seed = seed
        self.purpose = purpose
        self.batch = max(1, min(batch, len(self.ids)))
        self._orders: dict[int, Ints] = {}

    def at(self, step: int) -> tuple[Ints, Ints]:
        """Return the positions (B,) of a step's images among the ids, and how often each was seen before."""
        place = np.arange(step * self.batch, (step + 1) * self.batch)
        rounds = place // len(self.ids)
        positions = np.array([self._order(int(r))[p] for r, p in zip(rounds, place % len(self.ids), strict=True)])
        return positions, rounds

    def _order(self, epoch: int) -> Ints:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}  # two epochs meet in a batch
            self._orders[epoch] = randomness.order(self.seed, self.purpose, epoch, self.ids)
        return self._orders[epoch]
