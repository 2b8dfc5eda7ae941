"""The logits of a fitted head for many rows of features."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advisor.aliases import Float32s

_ROWS = 8192


@torch.inference_mode()
def predict(head: nn.Module, features: Float32s) -> NDArray[np.float32]:
    """Return the logits (N, K) of features (N, D), in blocks of rows."""
    device = next(iter([*head.parameters(), *head.buffers()])).device
    raw = torch.from_numpy(np.array(features, dtype=np.float32))
    parts = [head(raw[at : at + _ROWS].to(device)).float().cpu() for at in range(0, len(raw), _ROWS)]
    return np.asarray(torch.cat(parts).numpy())
