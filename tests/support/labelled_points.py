"""Points around one centre for each class."""

from __future__ import annotations

import torch


def points(n: int = 40, d: int = 6, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (N, D) and their labels (N,), drawn from a seed."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=draw)
    centres = torch.randn(classes, d, generator=draw)
    return torch.randn(n, d, generator=draw) + centres[labels], labels
