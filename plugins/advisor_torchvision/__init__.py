"""torchvision's image classifiers as backbones: `<name>` means the first published weights, `<name>.v2` the second.

Only facts are read here; torch and torchvision are imported when a network is built. Terms and numbers are those that
torchvision publishes (`facts`); how networks are cut, and what is kept of a classifier, is explained in `stages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from advisor.hooks import Backbone, Preprocess, Weights, hookimpl
from advisor_torchvision.facts import ARCHITECTURES, MIB, PUBLISHED, URL, Architecture, Published
from advisor_torchvision.stages import STAGES

if TYPE_CHECKING:
    import torch


def _build(architecture: str) -> torch.nn.Module:
    from advisor_torchvision import networks

    return networks.build(architecture)


def _load_state(head: str, module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    from advisor_torchvision import networks

    networks.load_state(head, module, tensors)


def _run_stage(architecture: str, module: torch.nn.Module, i: int, x: Any) -> Any:
    from advisor_torchvision import networks

    return networks.run_stage(STAGES[architecture][i], module, i, x)


def _pool(architecture: str, module: torch.nn.Module, i: int, x: Any) -> torch.Tensor:
    from advisor_torchvision import networks

    return networks.pool(architecture, i, x)


def _build_source_head(network: Architecture) -> torch.nn.Module:
    from advisor_torchvision import networks

    return networks.source_head(network.name, network.head, network.dim)


def _backbone(network: Architecture, published: Published) -> Backbone:
    return Backbone(
        name=network.name if published.version == 1 else f"{network.name}.v{published.version}",
        dim=network.dim,
        stages=STAGES[network.name],
        preprocess=Preprocess(size=published.size, resize=published.resize, interpolation=published.interpolation),
        weights=Weights(
            file=published.file,
            url=URL + published.file,
            sha256_prefix=published.sha256_prefix,
            bytes=round(published.mib * MIB),
            licence=published.licence,
        ),
        published_accuracy=round(published.accuracy / 100, 5),
        parameters=network.parameters,
        macs=round(network.gmacs * 1e9),
        source=network.paper,
        size_multiple=network.multiple,
        build=partial(_build, network.name),
        load_state=partial(_load_state, network.head),
        run_stage=partial(_run_stage, network.name),
        pool=partial(_pool, network.name),
        build_source_head=partial(_build_source_head, network),
    )


@hookimpl
def advisor_backbones() -> list[Backbone]:
    """Offer every published file as a backbone of its own."""
    networks = {network.name: network for network in ARCHITECTURES}
    return [_backbone(networks[published.network], published) for published in PUBLISHED]
