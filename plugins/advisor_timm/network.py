"""What is known of one network of timm before it is built, as a record that fits into a line of JSON. No torch here.

The curated ones lie in networks.json beside this file (written by make_table.py), any other is described on demand
(`describe`). Does NOT cover: building, cutting, tensors (`modules`, `cuts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

TOKENS = ("class", "mean", "both")
_IMAGE_TEXT = re.compile(r"clip|siglip|webli|laion|openai|datacomp|merged2b|metaclip|dfn|mobileclip|dfndr")
_SELF_SUPERVISED = re.compile(r"dino|lvd|\bmae\b|fcmae$|mim_(?!\w*_ft_)\w+$|ijepa|seer|dinov3|eupe|moco|simclr")


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network with one file of weights.

    `architecture` and `arguments` are what timm builds it from, `stages` maps a stage's name to its parameter prefixes,
    `chain` to the modules that it runs. `family` is "tokens", "chain" or "whole" (see `cuts`). `tokens` chooses the
    feature of a transformer: "" its own, or one of `TOKENS`. `repository` is the file's on Hugging Face, `revision` the commit
    that is described ("" where the description is timm's own).
    """

    name: str
    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    family: str
    stages: Mapping[str, tuple[str, ...]]
    chain: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dim: int
    size: int
    resize: int
    multiple: int = 1
    interpolation: str = "bicubic"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    parameters: int
    macs: int
    bytes: int = 0
    classifier: tuple[str, ...] = ()
    repository: str = ""
    file: str = "model.safetensors"
    revision: str = ""
    licence: str = "unknown"
    accuracy: float | None = None
    transfer_accuracy: float | None = None
    pretraining: str = ""
    source: str = ""
    tokens: str = ""
    prefix_tokens: int = 0
    frozen_only: str = ""


def from_json(record: Mapping[str, Any]) -> Network:
    """Read a network from its JSON record."""
    lists = {name: tuple(record[name]) for name in ("mean", "std", "classifier") if name in record}
    maps = {name: {k: tuple(v) for k, v in record[name].items()} for name in ("stages", "chain") if name in record}
    return Network(**{**record, **lists, **maps})


def to_json(network: Network) -> dict[str, Any]:
    """Return the fields that differ from their defaults, ready for `json.dumps`."""
    empty: tuple[Any, ...] = ({}, (), "", None)
    fields = {k: v for k, v in asdict(network).items() if v not in empty}
    return fields if network.multiple > 1 else {k: v for k, v in fields.items() if k != "multiple"}


def with_tokens(network: Network, tokens: str) -> Network:
    """Return the network with another feature: the class token, the mean of its patches, or both side by side.

    Raises ValueError where it has no tokens, or no class token.
    """
    if network.family != "tokens":
        raise ValueError("it has no tokens to choose from")
    if tokens in ("class", "both") and not network.prefix_tokens:
        raise ValueError("it has no class token")
    inside = {stage: tuple(f"network.{p}" for p in prefixes) for stage, prefixes in network.stages.items()}
    dim = network.dim * 2 if tokens == "both" else network.dim
    return replace(network, name=f"{network.name}@{tokens}", tokens=tokens, stages=inside, dim=dim)


def pretraining(tag: str) -> str:
    """Return what a published tag was pretrained with: image and text, images alone, or labels."""
    if _IMAGE_TEXT.search(tag):
        return "image_text"
    return "self_supervised" if _SELF_SUPERVISED.search(tag) else "supervised"
