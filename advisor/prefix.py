"""What a frozen beginning of a network gives, computed once for every view of every image, then read from memory.

In: a plan, a classifier at work, pixels. Out: activations in front of the first stage that ever trains (or features,
where none does). Whether it is used follows from the plan and from sizes alone, never from free memory or time, since
activations differ in their last bits with the batch that they were computed in.
Does NOT cover: features for closed-form heads (`features`), augmentation (`augment`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from advisor.hooks import Backbone
from advisor.records.plan import TrainPlan

CHUNK = 64  # images a forward pass of the prefix, fixed
LIMIT_BYTES = 1 << 30
Compute = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], torch.Tensor]


def depth(plan: TrainPlan, backbone: Backbone) -> int:
    """Count the leading stages that no phase ever trains."""
    trained = {name for phase in plan.phases for name, rate in phase.rates.items() if rate > 0}
    return next((i for i, stage in enumerate(backbone.stages) if stage.name in trained), len(backbone.stages))


def reusable(plan: TrainPlan, backbone: Backbone) -> bool:
    """Say whether a plan sees the same activations again: few views, unmixed pixels, a head that looks behind them."""
    mixed = plan.augmentation.mixup > 0 or plan.augmentation.cutmix > 0
    few_views = plan.views > 0 or plan.augmentation.level == "none"
    stages = [stage.name for stage in backbone.stages]
    frozen = depth(plan, backbone)
    whole = frozen == len(stages)
    behind = plan.head.layers == "last" or (plan.head.layers in stages and stages.index(plan.head.layers) >= frozen)
    return frozen > 0 and few_views and not mixed and (whole or behind)


class Bank:
    """Activations of N images in `views` views, filled view by view when first asked for.

    `compute(positions, rounds)` gives the activations of some images; it is called in chunks of fixed size and order,
    so that a resumed run computes the very same bits.
    """

    def __init__(self, images: int, views: int, compute: Compute) -> None:
        self.images = images
        self.views = views
        self._compute = compute
        self._filled: dict[int, torch.Tensor] = {}

    def fits(self, limit_bytes: int = LIMIT_BYTES) -> bool:
        """Say whether all views stay within the limit; looks at one image's activation."""
        one = self._compute(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        if not isinstance(one, torch.Tensor):
            return False  # a stage that hands on several tensors is not cached
        return one.numel() * one.element_size() * self.images * self.views <= limit_bytes

    def rows(self, positions: npt.NDArray[np.int64], rounds: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return the activations (B, ...) of images in the views that belong to their rounds."""
        view_of = rounds % self.views
        parts = []
        for view in dict.fromkeys(int(v) for v in view_of):  # one view, two where an epoch ends inside a batch
            chosen = torch.from_numpy(positions[view_of == view])
            parts.append(self._view(view).index_select(0, chosen.to(self._view(view).device)))
        both = torch.cat(parts) if len(parts) > 1 else parts[0]
        return both.permute(0, 3, 1, 2) if both.ndim == 4 else both

    def _view(self, view: int) -> torch.Tensor:
        if view not in self._filled:
            everyone = np.arange(self.images)
            chunks = []
            for start in range(0, self.images, CHUNK):
                positions = everyone[start : start + CHUNK]
                chunk = self._compute(positions, np.full(len(positions), view))
                # Kept as (B, H, W, C): a row is then one piece of memory, and reading it back is channels_last.
                chunks.append(chunk.permute(0, 2, 3, 1).contiguous() if chunk.ndim == 4 else chunk)
            self._filled[view] = torch.cat(chunks)
        return self._filled[view]
