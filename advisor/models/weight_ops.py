"""A network's weights as plain tensors by name: copies, averages, and putting them back.

In: a module. Out: dictionaries of tensors, the module's own names. Only floating-point entries take part: counters such
as BatchNorm's stay what they are.
Does NOT cover: files (`tensor_files`), optimizer state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from advisor.hooks import Backbone
from advisor.models import backbone as backbones


def floats(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the module's floating-point parameters and buffers, not copied, without gradient."""
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}


def copy(module: nn.Module) -> dict[str, torch.Tensor]:
    """Copy the module's floating-point parameters and buffers."""
    return {name: value.clone() for name, value in floats(module).items()}


def put(values: Mapping[str, torch.Tensor], module: nn.Module) -> None:
    """Write values back into the module, in place."""
    targets = floats(module)
    with torch.no_grad():
        for name, value in values.items():
            targets[name].copy_(value)


def lerp(average: dict[str, torch.Tensor], module: nn.Module, decay: float, step: int) -> None:
    """Move a running average, in place, towards the module: average x decay + module x (1 - decay).

    In the first steps the decay is at most (1 + step) / (10 + step), so that the start is soon forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    current = floats(module)
    with torch.no_grad():
        torch._foreach_lerp_(list(average.values()), [current[name] for name in average], 1.0 - decay)


def digest(module: nn.Module) -> str:
    """Return the SHA-256 of all entries, by name, shape and bytes."""
    sha256 = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        sha256.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        sha256.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def stage_distances(backbone: Backbone, start: Mapping[str, torch.Tensor], body: nn.Module) -> dict[str, float]:
    """Return each stage's distance from its start: |w - w0| / |w0| over its trainable parameters, from stem to head.

    `start` holds the body's parameters by name, as `weight_state.copy(body)` gives them. A stage without parameters, or
    whose start is all zeros, has nan.
    """
    distances = {}
    for stage, owned in zip(backbone.stages, backbones.parameters_by_stage(backbone, body), strict=True):
        moved = sum(float((p.detach().cpu() - start[name].cpu()).double().square().sum()) for name, p in owned)
        size = sum(float(start[name].cpu().double().square().sum()) for name, _ in owned)
        distances[stage.name] = (moved / size) ** 0.5 if size > 0 else float("nan")
    return distances


def distance(start: Mapping[str, torch.Tensor], module: nn.Module) -> float:
    """Return |w - w0| over all floating-point parameters and buffers that `start` names."""
    now = floats(module)
    total = sum(float((now[name].cpu() - value.cpu()).double().square().sum()) for name, value in start.items())
    return float(total**0.5)
