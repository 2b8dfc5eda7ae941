"""Which parameter trains, in which group, at which rate: one optimizer a run, its groups known from the start.

In: a backbone at work with its head, an `OptimizerSpec`, phases. Out: a torch optimizer with one group per (stage,
decayed or not), the head last. A group that is frozen at a step is skipped by the optimizer, not stepped with zeros:
its parameters have no gradient, so neither momentum nor weight decay moves them, and unfreezing loses nothing.
Does NOT cover: schedules (`schedules`), the loop (`training`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from advisor.errors import InputError
from advisor.hooks import Backbone
from advisor.models import backbone as backbones
from advisor.records.plan import OptimizerSpec, Phase
from advisor.schedules import HEAD

OPTIMIZERS = ("adam", "adamw", "sgd")
COMPANION = "term."  # begins the names of parameters that belong to a term of the loss
_NOT_DECAYED = ("bias", "bias_table", "class_token", "pos_embedding", "position_embedding", "layer_scale", "gamma")


@dataclass(frozen=True)
class Slot:
    """One parameter with what the optimizer must know of it."""

    name: str
    stage: str
    parameter: nn.Parameter
    is_norm: bool  # belongs to a norm layer
    decayed: bool
    is_adapter: bool = False  # was put in by the plan's adapter


def slots(
    backbone: Backbone,
    body: nn.Module,
    head: nn.Module,
    companions: nn.Module | None = None,
    adapters: Collection[nn.Parameter] = (),
) -> tuple[Slot, ...]:
    """List every parameter of body and head, from stem to head; weight decay never touches biases, norms and tokens.

    `companions` are what terms of the loss bring along: they train whenever the head does, at its rate.
    """
    norms = {
        f"{path}.{name}" if path else name
        for path, module in body.named_modules()
        if backbones.is_norm(module)
        for name, _ in module.named_parameters(recurse=False)
    }
    added = {id(parameter) for parameter in adapters}
    entries = []
    for stage, owned in zip(backbone.stages, backbones.parameters_by_stage(backbone, body), strict=True):
        for name, parameter in owned:
            decayed = name not in norms and _is_matrix(name, parameter)
            entries.append(Slot(f"body.{name}", stage.name, parameter, name in norms, decayed, id(parameter) in added))
    for name, parameter in head.named_parameters():
        entries.append(Slot(f"head.{name}", HEAD, parameter, False, _is_matrix(name, parameter)))
    for name, parameter in companions.named_parameters() if companions is not None else ():
        entries.append(Slot(f"{COMPANION}{name}", HEAD, parameter, False, _is_matrix(name, parameter)))
    return tuple(entries)


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    wide = sum(size > 1 for size in parameter.shape)  # a layer scale of shape (C, 1, 1) is a vector
    # A matrix to one output (1, D) is still a matrix.
    return (wide > 1 or (parameter.ndim > 1 and "weight" in name)) and not name.endswith(_NOT_DECAYED)


def build(spec: OptimizerSpec, parameters: tuple[Slot, ...]) -> torch.optim.Optimizer:
    """Build the optimizer with one group per (stage, decayed or not); all rates start at 0.

    Raises InputError where the optimizer's name is unknown.
    """
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for slot in parameters:
        empty = {"params": [], "stage": slot.stage, "weight_decay": spec.weight_decay if slot.decayed else 0.0}
        groups.setdefault((slot.stage, slot.decayed), empty)["params"].append(slot.parameter)
    ordered = list(groups.values())
    if spec.name == "sgd":
        return torch.optim.SGD(ordered, lr=0.0, momentum=spec.momentum, nesterov=spec.momentum > 0, fused=True)
    betas = (spec.momentum, spec.beta2)
    if spec.name == "adam":
        return torch.optim.Adam(ordered, lr=0.0, betas=betas, fused=True)
    if spec.name == "adamw":
        return torch.optim.AdamW(ordered, lr=0.0, betas=betas, fused=True)
    raise InputError(f"optimizer {spec.name!r}: expected one of {', '.join(OPTIMIZERS)}.")


def trains(slot: Slot, phase: Phase) -> bool:
    """Return True if a parameter trains in a phase."""
    if slot.stage == HEAD:
        return phase.head_rate > 0
    if phase.rates.get(slot.stage, 0.0) <= 0:
        return False
    if phase.only == "norm":
        return slot.is_norm
    if phase.only == "adapter":
        return slot.is_adapter
    if phase.only == "bias":
        return slot.name.endswith("bias")
    return True


def freeze(parameters: tuple[Slot, ...], phase: Phase) -> None:
    """Make exactly the parameters of a phase trainable, and drop every old gradient."""
    for slot in parameters:
        slot.parameter.requires_grad_(trains(slot, phase))
        slot.parameter.grad = None


def modes(
    backbone: Backbone, body: nn.Module, head: nn.Module, parameters: tuple[Slot, ...], phase: Phase, norm: str
) -> list[tuple[nn.Module, bool]]:
    """Return for every module whether it is in train mode: those of stages that train, and the head; others evaluate.

    `norm`: BatchNorm uses batch statistics in trained stages ("trained") or running ones everywhere ("frozen").
    """
    live = {slot.stage for slot in parameters if trains(slot, phase)}
    training_modes = dict.fromkeys(body.modules(), False)
    for stage, inside in zip(backbone.stages, backbones.modules_by_stage(backbone, body), strict=True):
        for _, module in inside:
            batch_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
            training_modes[module] = stage.name in live and not (batch_norm and norm == "frozen")
    return [*training_modes.items(), *((module, HEAD in live) for module in head.modules())]


def set_rates(optimizer: torch.optim.Optimizer, rates: Mapping[str, float]) -> None:
    """Return every group the rate of its stage (0 where `rates` does not name it)."""
    for group in optimizer.param_groups:
        group["lr"] = rates.get(group["stage"], 0.0)


def live_parameters(parameters: tuple[Slot, ...]) -> Iterator[nn.Parameter]:
    """Yield the parameters that hold a gradient now."""
    return (slot.parameter for slot in parameters if slot.parameter.grad is not None)
