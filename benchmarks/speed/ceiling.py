"""What a network can do on this machine: the same work on one constant batch that is already in memory.

In: a backbone's module, what trains of it, a precision. Out: functions that do one step, to be timed. No pixels are
read, nothing is augmented, no gradient is clipped, no loss is looked at: nothing of the product runs but the network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn

from advisor.hooks import Backbone
from advisor.models import backbone as backbones
from advisor.models import folding, inference
from advisor.records import Compute

Step = Callable[[], None]


def extraction(backbone: Backbone, module: nn.Module, compute: Compute, size_px: int, batch: int) -> Step:
    """Return one forward pass through all stages, pooled, as features are made: BatchNorm folded where `compute` asks."""
    if compute.fold_batch_norm:
        module = folding.folded_body(backbone, module, size_px)
    inference.move(module, compute)
    module.eval()
    images = _constant((batch, 3, size_px, size_px))

    def step() -> None:
        with torch.inference_mode(), inference.autocast(compute):
            backbones.pooled(backbone, module, images)

    return step


def training(
    backbone: Backbone,
    module: nn.Module,
    compute: Compute,
    size_px: int,
    batch: int,
    classes: int,
    trained: Collection[str],
    *,
    from_prefix: bool = False,
) -> Step:
    """Return one step of AdamW on cross-entropy, with frozen BatchNorm, training the stages named.

    `from_prefix` feeds the activations in front of the first trained stage instead of images.
    """
    inference.move(module, compute)
    module.eval()  # BatchNorm frozen, as the gentle guess has it
    names = [stage.name for stage in backbone.stages]
    first = min(names.index(name) for name in trained)
    owned = backbones.parameters_by_stage(backbone, module)
    live = []
    for name, own in zip(names, owned, strict=True):
        for _, parameter in own:
            parameter.requires_grad_(name in trained)
            live += [parameter] * (name in trained)
    head = nn.Linear(backbone.dim, classes)
    optimizer = torch.optim.AdamW([*live, *head.parameters()], lr=1e-6, fused=True)
    x: Any = _constant((batch, 3, size_px, size_px))
    labels = torch.arange(batch) % classes
    if from_prefix:
        with torch.no_grad(), inference.autocast(compute):
            x = backbones.run(backbone, module, x, 0, first)
    last = len(names) - 1

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with inference.autocast(compute):
            activations = backbones.run(backbone, module, x, first if from_prefix else 0)
            logits = head(backbone.pool(module, last, activations))
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()

    return step


def _constant(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=torch.channels_last)
