"""Networks of timm and Hugging Face as backbones: a curated table, and any other name on demand.

`timm/NAME[.TAG]` is a network with published weights, `hf-hub:OWNER/MODEL` one that a repository describes, at its newest
commit or at @COMMIT (40 digits); a suffix @class, @mean or @both before that chooses a transformer's feature. Listing reads
networks.json and needs neither torch nor timm. Weights come from Hugging Face through its own cache. Needs the extra
`tl-advise[timm]`; without it nothing is listed, and asking for such a name says what to install.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.errors import PluginError
from advisor.hooks import Backbone, Preprocess, Stage, Weights, hookimpl
from advisor_timm.network import TOKENS, Network, from_json, with_tokens

if TYPE_CHECKING:
    import torch

TABLE = Path(__file__).with_name("networks.json")
PREFIXES = ("timm/", "hf-hub:")
_PINNED = re.compile(r"(?P<name>.+)@(?P<revision>[0-9a-f]{40})")
INSTALL = 'Install it: pip install "tl-advise[timm]".'


@cache
def curated() -> Mapping[str, Network]:
    """Read the curated networks, by name."""
    records = json.loads(TABLE.read_text(encoding="utf-8"))["networks"]
    return {record["name"]: from_json(record) for record in records}


def _build(network: Network) -> torch.nn.Module:
    from advisor_timm import modules

    return modules.build(network)


def _load_state(network: Network, module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    from advisor_timm import modules

    modules.load_state(network, module, tensors)


def _run_stage(network: Network, module: torch.nn.Module, i: int, x: Any) -> Any:
    from advisor_timm import modules

    return modules.run_stage(network, module, i, x)


def _pool(network: Network, module: torch.nn.Module, i: int, x: Any) -> torch.Tensor:
    from advisor_timm import modules

    return modules.pool(network, module, i, x)


def _backbone(network: Network) -> Backbone:
    return Backbone(
        name=network.name,
        dim=network.dim,
        stages=tuple(Stage(name=name, prefixes=prefixes) for name, prefixes in network.stages.items()),
        preprocess=Preprocess(
            size=network.size,
            resize=network.resize,
            interpolation=network.interpolation,
            mean=network.mean,
            std=network.std,
        ),
        weights=Weights(
            file=f"{network.repository.rpartition('/')[2]}.safetensors",
            url=f"hf://{network.repository}/{network.file}" + (f"@{network.revision}" if network.revision else ""),
            bytes=network.bytes,
            licence=network.licence,
        ),
        published_accuracy=network.accuracy,
        parameters=network.parameters,
        macs=network.macs,
        source=network.source,
        size_multiple=network.multiple,
        frozen_only=network.frozen_only,
        pretraining=network.pretraining,
        transfer_accuracy=network.transfer_accuracy,
        build=partial(_build, network),
        load_state=partial(_load_state, network),
        run_stage=partial(_run_stage, network),
        pool=partial(_pool, network),
    )


def _is_installed() -> bool:
    return util.find_spec("timm") is not None


@hookimpl
def advisor_backbones() -> list[Backbone]:
    """Offer the curated networks, where timm is installed."""
    return [_backbone(network) for network in curated().values()] if _is_installed() else []


@hookimpl
def advisor_resolve_backbone(name: str) -> Backbone | None:
    """Describe any other network of timm or Hugging Face. Raises PluginError where there is no such network."""
    if not name.startswith(PREFIXES):
        return None
    if not _is_installed():
        raise PluginError(f"{name} needs timm, which is not installed.", hint=INSTALL)
    pinned = _PINNED.fullmatch(name)
    if pinned and not name.startswith("hf-hub:"):
        return None  # timm describes its own networks, whatever the commit of their weights
    plain, revision = (pinned["name"], pinned["revision"]) if pinned else (name, "")
    base, _, tokens = plain.rpartition("@")
    if tokens not in TOKENS or not base:
        network = _described(plain, revision)
    else:
        try:
            network = with_tokens(_described(base, revision), tokens)
        except ValueError as error:
            raise PluginError(f"{name}: {error}.", hint=f"Use {base}.") from error
    return _backbone(replace(network, name=name) if revision else network)


def _described(name: str, revision: str) -> Network:
    from advisor_timm import on_demand

    return curated().get(name) or on_demand.describe(name, revision)
