"""The linear head as a torch module, and what training starts from where no probe was fitted.

Legend: N items, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from advisor.errors import InputError
from advisor.heads.kind import HeadModule


class LinearHead(HeadModule):
    """Logits = features @ weight' + bias."""

    saved_as: ClassVar[str] = "linear"

    def __init__(self, weight_KD: torch.Tensor, bias_K: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_KD.detach().clone().float())
        self.bias = nn.Parameter(bias_K.detach().clone().float())

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Map (N, D) to (N, K)."""
        return nn.functional.linear(features_ND, self.weight, self.bias)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> LinearHead:
        """Build the head from `weight` and `bias`. Raises KeyError with the name of a missing tensor."""
        return cls(tensors["weight"], tensors["bias"])

    def raised(self, offset_K: torch.Tensor) -> LinearHead:
        """Return the head with another bias."""
        return LinearHead(self.weight, self.bias.detach() + offset_K)


def initial(start: str, width: int, classes: int, *, seed: int = 0) -> LinearHead:
    """Return an untrained linear head: "zeros", or "random" (normal, deviation 0.01, from `seed` alone).

    Raises InputError for another `start`.
    """
    if start not in ("zeros", "random"):
        raise InputError(f'a head starts as "zeros", "random" or "probe", got "{start}".')
    weight = torch.zeros(classes, width)
    if start == "random":
        weight.normal_(std=0.01, generator=torch.Generator().manual_seed(seed % 2**63))
    return LinearHead(weight, torch.zeros(classes))
