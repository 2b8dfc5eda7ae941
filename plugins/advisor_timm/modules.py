"""A network of timm as a module: built without a classifier, filled from a file, run stage by stage.

In: a `Network` record. Out: modules whose forward gives features (N, dim). Weights keep the shapes of their file: other
input sizes resample position tables in the forward, so that one file serves every size.
Does NOT cover: where files lie (the core), how stages are found (`cuts`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from advisor_timm import cuts
from advisor_timm.network import Network

# What makes a family take other input sizes than the one it was made for; asked for where the architecture knows it.
ANY_SIZE: tuple[Mapping[str, Any], ...] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)


class TokenChoice(nn.Module):
    """A transformer whose feature is its class token, the mean of its patches, or both."""

    def __init__(self, network: nn.Module, tokens: str, part: cuts.Cut) -> None:
        super().__init__()
        self.network = network
        self.tokens = tokens
        self.part = part

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Return the chosen features (N, D)."""
        x = images_NCHW
        for index in range(len(self.part.stages)):
            x = cuts.run_stage(self.part, self.network, index, x)
        return cuts.token_features(self.network, x, self.tokens)


def build(network: Network) -> nn.Module:
    """Build with random weights; touches neither disk nor network."""
    import timm

    module = timm.create_model(network.architecture, pretrained=False, num_classes=0, **network.arguments)
    return TokenChoice(module, network.tokens, _inner(network)) if network.tokens else module


def _inner(network: Network) -> cuts.Cut:
    strip = "network." if network.tokens else ""
    stages = {name: tuple(p.removeprefix(strip) for p in prefixes) for name, prefixes in network.stages.items()}
    return cuts.Cut(family=network.family, stages=stages, chain=network.chain)


def run_stage(network: Network, module: nn.Module, index: int, x: Any) -> Any:
    """Run one stage."""
    if isinstance(module, TokenChoice):
        return cuts.run_stage(module.part, module.network, index, x)
    return cuts.run_stage(_inner(network), module, index, x)


def pool(network: Network, module: nn.Module, index: int, x: Any) -> torch.Tensor:
    """Return a stage's features (N, d)."""
    if not isinstance(module, TokenChoice):
        return cuts.pool(_inner(network), module, index, x)
    if index == len(network.stages) - 1:
        return cuts.token_features(module.network, x, network.tokens)
    return cuts.pool(module.part, module.network, index, x)


# ---- weights -----------------------------------------------------------------------------------------------------


def load_state(network: Network, module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fill the module from a published file: older names are brought up to date as timm does it, classifiers dropped.

    Raises ValueError that says which tensors do not fit, and how many.
    """
    target = module.network if isinstance(module, TokenChoice) else module
    expected = target.state_dict()
    renamed = _renamed(target, dict(tensors), expected)
    renamed = {n: t for n, t in renamed.items() if not any(n.startswith(f"{head}.") for head in network.classifier)}
    faults = _faults(renamed, expected)
    if faults:
        raise ValueError("; ".join(faults))
    target.load_state_dict({n: renamed[n] for n in expected})


def _renamed(
    target: nn.Module, state: dict[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> Mapping[str, torch.Tensor]:
    if set(expected) <= set(state):
        return state
    convert = getattr(sys.modules[type(target).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        converted: Mapping[str, torch.Tensor] = convert(dict(state), target)
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError, IndexError, AssertionError):
        return state  # not a file of this architecture: said below, by name
    return converted


def _faults(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> list[str]:
    missing = [n for n in expected if n not in state]
    other = [n for n in expected if n in state and state[n].shape != expected[n].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(expected)} tensors are missing (first {missing[0]})")
    if other:
        name = other[0]
        have, need = tuple(state[name].shape), tuple(expected[name].shape)
        faults.append(f"{len(other)} have another shape (first {name}: {have}, expected {need})")
    unknown = [n for n in state if n not in expected]
    if faults and unknown:
        faults.append(f"{len(unknown)} are unknown (first {unknown[0]})")
    return faults
