"""How a network of timm is cut into stages, and running one of them.

Three families. "tokens": transformers whose blocks all see the same tokens; the stem makes tokens, every stage is a
quarter of the blocks, the last one ends with the norm. "chain": networks whose forward runs its top-level modules one
after another (ConvNeXt, EfficientNet, MobileNet, ResNet, RegNet, Swin, FastViT and others); stages are the steps of
their body. "whole": everything else; one stage, whose features are used as they are.
Legend: N images, T tokens, D features, C channels, H, W. Does NOT cover: building (`modules`), facts (`network`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

BLOCK_GROUPS = 4
_BODIES = ("stages", "layers", "blocks")  # one child whose own children are the steps
_STEPS = (("layer1", "layer2", "layer3", "layer4"), ("s1", "s2", "s3", "s4"))  # or the steps are children
_HEADS = ("global_pool", "head_drop", "head", "head_dist", "classifier", "fc", "flatten", "norm_head", "act2")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A family, the parameter prefixes of each stage, and (in a chain) the modules that each stage runs."""

    family: str
    stages: Mapping[str, tuple[str, ...]]
    chain: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def cut(network: nn.Module) -> Cut:
    """Cut a network where its structure allows it, else leave it whole. Whether the cut is right, `composes` tells."""
    owned = _owned(network)
    if is_token_network(network):
        return _cut_tokens(network, owned)
    names = [name for name, _ in network.named_children()]
    body = next((name for name in _BODIES if name in names), None)
    if body is not None:
        steps = tuple(f"{body}.{name}" for name, _ in network.get_submodule(body).named_children())
        return _cut_chain(names, (body,), steps, owned)
    flat = next((steps for steps in _STEPS if set(steps) <= set(names)), None)
    return _cut_chain(names, flat, flat, owned) if flat is not None else whole(network)


def whole(network: nn.Module) -> Cut:
    """Leave a network in one stage."""
    return Cut(family="whole", stages={"network": _owned(network)})


def _owned(network: nn.Module) -> tuple[str, ...]:
    """List the top-level names under which there are parameters or buffers."""
    names = [*(n for n, _ in network.named_parameters()), *(n for n, _ in network.named_buffers())]
    return tuple(dict.fromkeys(name.split(".")[0] for name in names))


def is_token_network(network: nn.Module) -> bool:
    """Return True for a transformer whose blocks all see the same tokens, and whose attention needs nothing else."""
    has = all(hasattr(network, name) for name in ("patch_embed", "blocks", "norm", "_pos_embed", "num_prefix_tokens"))
    return has and isinstance(network.blocks, (nn.Sequential, nn.ModuleList)) and not hasattr(network, "rel_pos_bias")


def _cut_tokens(network: nn.Module, owned: tuple[str, ...]) -> Cut:
    count = len(network.get_submodule("blocks"))  # type: ignore[arg-type]
    edges = [round(count * i / BLOCK_GROUPS) for i in range(BLOCK_GROUPS + 1)]
    tail = tuple(name for name in owned if name in ("norm", "fc_norm", "attn_pool", "head", "head_drop"))
    stages = {"stem": tuple(name for name in owned if name != "blocks" and name not in tail)}
    for i in range(BLOCK_GROUPS):
        blocks = tuple(f"blocks.{j}" for j in range(edges[i], edges[i + 1]))
        if blocks:
            stages[f"blocks{edges[i]}_{edges[i + 1] - 1}"] = blocks
    last = list(stages)[-1]
    return Cut(family="tokens", stages={**stages, last: stages[last] + tail})


def _cut_chain(names: list[str], body: tuple[str, ...], steps: tuple[str, ...], owned: tuple[str, ...]) -> Cut:
    first, last = names.index(body[0]), names.index(body[-1])
    before = tuple(names[:first])
    after = names[last + 1 :]
    end = next((i for i, name in enumerate(after) if name in _HEADS), len(after))
    chain = {"stem": before} if before else {}
    chain |= {f"stage{i + 1}": (step,) for i, step in enumerate(steps)}
    final = list(chain)[-1]
    chain[final] += tuple(after[:end])
    stages = {name: tuple(m for m in run if m.split(".")[0] in owned) for name, run in chain.items()}
    held = {m.split(".")[0] for run in chain.values() for m in run}
    stages[final] += tuple(name for name in owned if name not in held)  # the head's norm, hidden layers, and the like
    return Cut(family="chain", stages=stages, chain=chain)


# ---- running -----------------------------------------------------------------------------------------------------


def run_stage(part: Cut, network: nn.Module, index: int, x: torch.Tensor) -> torch.Tensor:
    """Run one stage: images in, or what the stage before it gave."""
    name = list(part.stages)[index]
    if part.family == "whole":
        return network.forward_features(x)  # type: ignore[operator,no-any-return]
    if part.family == "chain":
        for module in part.chain[name]:
            x = network.get_submodule(module)(x)
        return x
    if index == 0:
        return _embed(network, x)
    x = _run_blocks(network, part.stages[name], x)
    return network.get_submodule("norm")(x) if index == len(part.stages) - 1 else x


def _embed(network: Any, images_NCHW: torch.Tensor) -> torch.Tensor:
    embedded = network._pos_embed(network.patch_embed(images_NCHW))
    tokens_NTD = embedded[0] if isinstance(embedded, tuple) else embedded  # rotary tables are made again where used
    return network.norm_pre(tokens_NTD) if hasattr(network, "norm_pre") else tokens_NTD  # type: ignore[no-any-return]


def _run_blocks(network: Any, prefixes: tuple[str, ...], x_NTD: torch.Tensor) -> torch.Tensor:
    blocks = [int(p.split(".")[1]) for p in prefixes if p.startswith("blocks.")]
    rope = getattr(network, "rope", None)
    if rope is None:
        for i in blocks:
            x_NTD = network.blocks[i](x_NTD)
        return x_NTD
    side = math.isqrt(x_NTD.shape[1] - network.num_prefix_tokens)  # inputs are square
    table = rope.get_embed(shape=(side, side))
    mixed = getattr(network, "rope_mixed", False)
    for i in blocks:
        x_NTD = network.blocks[i](x_NTD, rope=table[i] if mixed else table)
    return x_NTD


def pool(part: Cut, network: nn.Module, index: int, x: torch.Tensor) -> torch.Tensor:
    """Return a stage's features (N, d): after the last one the network's own, before it the mean over positions."""
    if index == len(part.stages) - 1:
        return network.forward_head(x, pre_logits=True)  # type: ignore[operator,no-any-return]
    if x.ndim == 3:
        return x[:, getattr(network, "num_prefix_tokens", 0) :].mean(dim=1)
    last = getattr(network, "output_fmt", "NCHW") == "NHWC"
    return x.mean(dim=(1, 2) if last else (2, 3)) if x.ndim == 4 else x


def token_features(network: Any, x_NTD: torch.Tensor, tokens: str) -> torch.Tensor:
    """Return the class token, the mean of the patches, or both side by side, behind the last norm."""
    parts = []
    if tokens in ("class", "both"):
        parts.append(network.fc_norm(x_NTD[:, 0]))
    if tokens in ("mean", "both"):
        parts.append(network.fc_norm(x_NTD[:, network.num_prefix_tokens :].mean(dim=1)))
    return torch.cat(parts, dim=1)


def composes(part: Cut, network: nn.Module, images_NCHW: torch.Tensor) -> bool:
    """Return True if the stages one after another, then pooled, equal the network's own forward."""
    try:
        with torch.inference_mode():
            x = images_NCHW
            for index in range(len(part.stages)):
                x = run_stage(part, network, index, x)
                features = pool(part, network, index, x)
            expected = network(images_NCHW)
    except (RuntimeError, TypeError, AttributeError, ValueError, IndexError, AssertionError):
        return False
    if features.shape != expected.shape or features.ndim != 2:
        return False
    return bool(torch.allclose(features, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())))
