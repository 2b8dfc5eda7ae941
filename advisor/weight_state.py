"""A network's weights as plain tensors by name: copies, averages, and putting them back.

In: a module. Out: dictionaries of tensors, the module's own names. Only floating-point entries take part: counters such
as BatchNorm's stay what they are.
Does NOT cover: files (`model`), optimizer state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn


def floats(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the module's floating-point parameters and buffers, not copied, without gradient."""
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}


def copy(module: nn.Module) -> dict[str, torch.Tensor]:
    """Copy the module's floating-point parameters and buffers."""
    return {name: value.clone() for name, value in floats(module).items()}


def put(values: Mapping[str, torch.Tensor], module: nn.Module) -> None:
    """Write values back into the module, in place."""
    own = floats(module)
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)


def lerp(average: dict[str, torch.Tensor], module: nn.Module, decay: float, step: int) -> None:
    """Move a running average, in place, towards the module: average x decay + module x (1 - decay).

    In the first steps the decay is at most (1 + step) / (10 + step), so that the start is soon forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    own = floats(module)
    with torch.no_grad():
        torch._foreach_lerp_(list(average.values()), [own[name] for name in average], 1.0 - decay)


def digest(module: nn.Module) -> str:
    """Return the SHA-256 of all entries, by name, shape and bytes."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        found.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
