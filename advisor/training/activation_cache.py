"""What a frozen beginning of a network gives, computed once for every view of every image, then read from memory.

In: a plan, a classifier at work, pixels. Out: activations in front of the first stage that ever trains (or features,
where none does). Whether it is used follows from the plan and from sizes alone, never from free memory or time, since
activations differ in their last bits with the batch that they were computed in. (On a full disk it is done without.)
Does NOT cover: features for closed-form heads (`models.features`), augmentation (`augmentation`).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from advisor.hooks import Backbone
from advisor.records.plan import TrainPlan
from advisor.runtime import atomic_file, cache

LIMIT_BYTES = 1 << 30  # up to here in memory,
SPILL_BYTES = 8 << 30  # up to here in a file of the cache directory, which nobody else sees; beyond it nothing is kept
ComputeRows = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], torch.Tensor]
_log = logging.getLogger(__name__)


def depth(plan: TrainPlan, backbone: Backbone) -> int:
    """Count the leading stages that no phase ever trains."""
    trained = {name for phase in plan.phases for name, rate in phase.rates.items() if rate > 0}
    return next((i for i, stage in enumerate(backbone.stages) if stage.name in trained), len(backbone.stages))


def reusable(plan: TrainPlan, backbone: Backbone) -> bool:
    """Return True if a plan sees the same activations again: few views, unmixed pixels, a head that looks behind them."""
    mixed = plan.augmentation.mixup > 0 or plan.augmentation.cutmix > 0
    few_views = plan.views > 0 or plan.augmentation.level == "none"
    stages = [stage.name for stage in backbone.stages]
    frozen = depth(plan, backbone)
    whole = frozen == len(stages)
    behind = plan.head.layers == "last" or (plan.head.layers in stages and stages.index(plan.head.layers) >= frozen)
    return frozen > 0 and few_views and not mixed and (whole or behind)


class ActivationCache:
    """Activations of N images in `views` views, filled view by view when first asked for.

    `compute(positions, rounds)` gives the activations of some images; it is called for `chunk` of them in fixed order,
    so that a resumed run computes the very same bits; in memory or in a file they are the same.
    """

    def __init__(self, images: int, views: int, compute: ComputeRows, *, chunk: int) -> None:
        self.images = images
        self.views = views
        self._chunk = chunk
        self._compute = compute
        self._filled: dict[int, torch.Tensor] = {}
        self._spill: Spill | None = None
        self._given_up = False

    def open(
        self, limit_bytes: int = LIMIT_BYTES, *, spill_bytes: int = SPILL_BYTES, folder: Path | None = None
    ) -> bool:
        """Return True if the views are kept: in memory up to the limit, else in a file up to `spill_bytes`.

        Looks at one image's activation. `folder` is where the file lies, the cache's by default; where the disk has no
        room for it nothing is kept, with a logged warning.
        """
        one = self._compute(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        if not isinstance(one, torch.Tensor) or not one.ndim or len(one) != 1:
            return False  # a stage that hands on several tensors, or tokens before images, is not cached
        size = one.numel() * one.element_size() * self.images * self.views
        if size <= limit_bytes:
            return True
        if size > spill_bytes:
            return False
        try:
            self._spill = Spill(folder or cache.default_dir() / "spill", _rows_last(one), self.images, self.views)
        except OSError as error:
            _log.warning("No room for %.1f GB of activations (%s): they are computed anew.", size / 1e9, error.strerror)
            return False
        return True

    def rows(self, positions: npt.NDArray[np.int64], rounds: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return the activations (B, ...) of images in the views that belong to their rounds."""
        view_of = rounds % self.views
        parts = []
        for view in dict.fromkeys(int(v) for v in view_of):  # one view, two where an epoch ends inside a batch
            if not self._given_up:
                self._fill(view)
            if self._given_up:
                return self._compute(positions, rounds)
            chosen = positions[view_of == view]
            if self._spill is not None:
                parts.append(self._spill.read(view, chosen))
            else:
                activations = self._filled[view]
                parts.append(activations.index_select(0, torch.from_numpy(chosen).to(activations.device)))
        both = torch.cat(parts) if len(parts) > 1 else parts[0]
        return both.permute(0, 3, 1, 2) if both.ndim == 4 else both

    def _fill(self, view: int) -> None:
        if self._spill is None:
            if view not in self._filled:
                self._filled[view] = torch.cat([chunk for _, chunk in self._chunks(view)])
        elif view not in self._spill.written:
            try:
                for start, chunk in self._chunks(view):
                    self._spill.write(view, start, chunk)
                self._spill.written.add(view)
            except OSError as error:  # where space cannot be reserved a disk may still fill up
                _log.warning("The activations cannot be kept any more (%s): they are computed anew.", error.strerror)
                self._given_up = True

    def _chunks(self, view: int) -> Iterator[tuple[int, torch.Tensor]]:
        for start in range(0, self.images, self._chunk):
            positions = np.arange(start, min(start + self._chunk, self.images))
            yield start, _rows_last(self._compute(positions, np.full(len(positions), view)))


def _rows_last(chunk: torch.Tensor) -> torch.Tensor:
    """Store (B, C, H, W) as (B, H, W, C), so that a row is contiguous and is read back as channels_last."""
    return chunk.permute(0, 2, 3, 1).contiguous() if chunk.ndim == 4 else chunk.contiguous()


class Spill:
    """Rows on disk: a file whose space is reserved, and which has no name any more, so that it goes with the process.

    `one` is an example (1, ...) of a row, on the device where rows are wanted. Raises OSError where there is no room.
    """

    def __init__(self, folder: Path, one: torch.Tensor, images: int, views: int) -> None:
        self.written: set[int] = set()
        self._shape, self._dtype, self._device = one.shape[1:], one.dtype, one.device
        self._row_bytes = one.numel() * one.element_size()
        self._view_bytes = images * self._row_bytes
        path = folder / f"prefix.{os.getpid()}.{time.monotonic_ns()}"
        with atomic_file.opened(path, views * self._view_bytes) as stream:
            stream.truncate(views * self._view_bytes)  # where nothing could be reserved: the length to map
            self._file = os.fdopen(os.dup(stream.fileno()), "wb", buffering=0)
            self._bytes = np.memmap(path, np.uint8, "r").reshape(views, images, self._row_bytes)

    def write(self, view: int, start: int, rows: torch.Tensor) -> None:
        """Write the rows of the images from `start` on. Raises OSError."""
        unwritten = memoryview(rows.cpu().reshape(-1).view(torch.uint8).numpy().data)
        at = view * self._view_bytes + start * self._row_bytes
        while unwritten:  # with write(), not through the map: a full disk would end the process there
            done = os.pwrite(self._file.fileno(), unwritten, at)
            unwritten, at = unwritten[done:], at + done

    def read(self, view: int, positions: npt.NDArray[np.int64]) -> torch.Tensor:
        """Read the rows (B, ...) of some images."""
        rows = torch.from_numpy(self._bytes[view][positions]).view(self._dtype)
        return rows.reshape(len(positions), *self._shape).to(self._device)
