"""The adapter of strategy `lora`: a low-rank update beside each weight matrix of a transformer.

A matrix W of shape (outputs, inputs) acts as W + (alpha / rank) B A, with B (outputs, rank) starting at zero and
A (rank, inputs) drawn from the seed; only A and B train. Taking the adapter out writes the sum into W, which is what the
network computed all along. Source: Hu et al. 2021, LoRA, arXiv:2106.09685, sections 4.1 and 4.2.
Does NOT cover: convolutions, rates, which stages (strategy `lora`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn.utils import parametrize

_ATTENTION = ("attn", "attention", "qkv", "in_proj", "out_proj")


class LowRank(nn.Module):
    """W -> W + scale * B A."""

    def __init__(self, weight: torch.Tensor, rank: int, scale: float, seed: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        generator = torch.Generator().manual_seed(seed)
        down = torch.randn((rank, inputs), generator=generator) / math.sqrt(inputs)
        self.down = nn.Parameter(down.to(weight.device, weight.dtype))  # A
        self.up = nn.Parameter(torch.zeros((outputs, rank), device=weight.device, dtype=weight.dtype))  # B
        self.scale = scale

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the adapted matrix."""
        return weight + self.scale * (self.up @ self.down)


def adapt(
    modules: Mapping[str, nn.Module], *, seed: int, rank: float, alpha: float, attention: float, mlp: float
) -> Callable[[], None]:
    """Add low-rank updates to the matrices of one stage's attention, its hidden layers, or both.

    Returns the function that merges them into the matrices.
    """
    adapted = []
    for number, (name, module) in enumerate(modules.items()):
        matrix = _matrix(module)
        chosen = attention if any(word in name for word in _ATTENTION) else mlp
        if matrix and chosen:
            weight = module.get_parameter(matrix)
            update = LowRank(weight, min(int(rank), *weight.shape), alpha / rank, seed + number)
            parametrize.register_parametrization(module, matrix, update)
            adapted.append((module, matrix))

    def merge() -> None:
        for module, matrix in adapted:
            parametrize.remove_parametrizations(module, matrix, leave_parametrized=True)

    return merge


def _matrix(module: nn.Module) -> str:
    """Return the name of a module's own weight matrix, "" where it has none that can be adapted."""
    if isinstance(module, nn.Linear):
        return "weight"
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        return "in_proj_weight"
    return ""
