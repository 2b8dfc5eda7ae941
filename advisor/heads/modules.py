"""Heads as torch modules, (N, D) features -> (N, K) logits: linear, cosine to class means, nearest neighbours.

Their tensors are what a saved model holds. Does not cover fitting them (`fitting`).
Legend: N items, D features, K classes, M stored items.
"""

from __future__ import annotations

import torch
from torch import nn

from advisor.heads import prototypes


class LinearHead(nn.Module):
    """Logits = features @ weight' + bias."""

    def __init__(self, weight_KD: torch.Tensor, bias_K: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_KD.detach().clone().float())
        self.bias = nn.Parameter(bias_K.detach().clone().float())

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Map (N, D) to (N, K)."""
        return nn.functional.linear(features_ND, self.weight, self.bias)


class CosineHead(nn.Module):
    """Logits = cosine of standardised features and unit prototypes, times a factor."""

    def __init__(self, weight_KD: torch.Tensor, mean_D: torch.Tensor, scale_D: torch.Tensor, factor: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_KD.detach().clone().float())
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.factor: torch.Tensor
        self.register_buffer("mean", mean_D.detach().clone().float())
        self.register_buffer("scale", scale_D.detach().clone().float())
        self.register_buffer("factor", torch.tensor(factor, dtype=torch.float32))

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Map (N, D) to (N, K)."""
        unit = nn.functional.normalize((features_ND - self.mean) * self.scale)
        return self.factor * (unit @ self.weight.T)


class KnnHead(nn.Module):
    """Logits = factor * log of the classes' shares among the k nearest of a bank of M standardised unit vectors."""

    def __init__(
        self,
        bank_MD: torch.Tensor,
        labels_M: torch.Tensor,
        mean_D: torch.Tensor,
        scale_D: torch.Tensor,
        settings: torch.Tensor,
    ) -> None:
        """`settings` holds (classes, k, sharpness, factor), so that the state dict is the whole head."""
        super().__init__()
        self.bank: torch.Tensor
        self.labels: torch.Tensor
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.settings: torch.Tensor
        self.register_buffer("bank", bank_MD.detach().clone().float())
        self.register_buffer("labels", labels_M.detach().clone().long())
        self.register_buffer("mean", mean_D.detach().clone().float())
        self.register_buffer("scale", scale_D.detach().clone().float())
        self.register_buffer("settings", settings.detach().clone().double())

    def forward(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Map (N, D) to (N, K)."""
        classes, k, sharpness, factor = self.settings.tolist()
        unit = nn.functional.normalize((features_ND.float() - self.mean) * self.scale)
        shares = prototypes.neighbours(unit, self.bank, self.labels, int(classes), k=int(k), sharpness=sharpness)
        return torch.as_tensor(factor * shares)
