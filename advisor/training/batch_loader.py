"""Training images on their device: rows of the canvas, augmented, normalised, with their labels.

In: `TrainData`-like arrays, a plan, positions and rounds. Out: images_NCHW and labels_N on the device of the trial.
Pixels move to a GPU whole where they fit; otherwise every batch goes through pinned memory, read one step ahead.
Does NOT cover: the order of images (`batch_sampler`), decoding (`data.pixels`).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from advisor.aliases import Rows
from advisor.records.plan import Compute, Preprocess, TrainPlan
from advisor.training import augmentation

RESIDENT_BYTES = 8 << 30  # pixels up to this size are kept on a GPU


class BatchLoader:
    """Images of some rows of a canvas, as a plan wants them seen.

    `ahead` says whether the next step's images are read while this one runs; by default where they stream to a GPU.
    """

    def __init__(
        self,
        canvas: npt.NDArray[np.uint8],
        ids: npt.NDArray[np.uint64],
        rows: Rows,
        plan: TrainPlan,
        *,
        size_px: int,
        seed: int,
        compute: Compute,
        preprocess: Preprocess,
        ahead: bool | None = None,
    ) -> None:
        self.ids = np.asarray(ids, dtype=np.uint64)[rows]
        self._canvas = canvas
        self._rows = rows
        self._plan = plan
        self._size_px = size_px
        self._seed = seed
        self._compute = compute
        self._preprocess = preprocess
        self._device = torch.device(compute.device)
        self._resident: torch.Tensor | None = None
        if self._device.type == "cuda" and len(rows) * canvas[0].nbytes <= RESIDENT_BYTES:
            self._resident = torch.from_numpy(canvas[rows]).to(self._device)
        streams = self._device.type == "cuda" and self._resident is None
        self._reader = ThreadPoolExecutor(1, "pixels") if (streams if ahead is None else ahead) else None
        self._coming: tuple[Rows, Future[torch.Tensor]] | None = None

    @property
    def ahead(self) -> bool:
        """Whether it pays to say what is expected next."""
        return self._reader is not None

    def views(self, positions: Rows, rounds: Rows) -> torch.Tensor:
        """Return one augmented view of each image, (B, 3, H, W) float32, normalised.

        The view depends on the seed, the image and its round; with `plan.views` rounds repeat after so many.
        """
        return augmentation.train_view(
            self._pixels(positions),
            self.ids[positions],
            self.counters(rounds),
            self._seed,
            self._plan.augmentation,
            self._size_px,
            self._preprocess,
            self._compute.layout,
        )

    def counters(self, rounds: Rows) -> Rows:
        """Return what the draws of these rounds are counted with."""
        return rounds % self._plan.views if self._plan.views else rounds

    def _pixels(self, positions: Rows) -> torch.Tensor:
        if self._resident is not None:
            return self._resident[torch.from_numpy(positions).to(self._device)]
        coming, self._coming = self._coming, None
        if coming is not None and np.array_equal(coming[0], positions):
            batch = coming[1].result()
        else:
            batch = self._gathered(positions)
        return batch.to(self._device, non_blocking=True) if self._device.type == "cuda" else batch

    def expect(self, positions: Rows) -> None:
        """Begin to read the images of the next step while this one runs, where pixels are streamed to a GPU."""
        if self._reader is not None:
            self._coming = (positions, self._reader.submit(self._gathered, positions))

    def _gathered(self, positions: Rows) -> torch.Tensor:
        batch = torch.from_numpy(self._canvas[self._rows[positions]])
        return batch.pin_memory() if self._device.type == "cuda" else batch
