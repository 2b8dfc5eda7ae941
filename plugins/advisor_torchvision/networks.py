"""torchvision's networks without their classifiers: built, cut into stages, filled from the published files.

Each network keeps torchvision's own forward and parameter names; only modules without parameters are put in place, so
that a stage is a plain sequence of named modules. `source_head` gives back what was cut off: its parameters carry the
names that they have in the published file, which are exactly those that `load_state` leaves out.
Does NOT cover: torch-free facts (`facts`), stage names (`stages`). Shapes: N images, C, H, W, D features, T tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torchvision
from torch import nn

from advisor.hooks import Stage
from advisor_torchvision.stages import STAGES
from advisor_torchvision.vit import AnySizeViT

# torchvision renamed DenseNet's layers after its files were made: norm.1 -> norm1.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def build(architecture: str) -> nn.Module:
    """Build a network with random weights; its forward gives (N, dim)."""
    family = next((f for f in _BUILDERS if architecture.startswith(f)), "")
    return _BUILDERS[family](architecture) if family else _without(architecture, "fc")


def _plain(architecture: str, **options: Any) -> Any:
    return torchvision.models.get_model(architecture, weights=None, **options)


def _without(architecture: str, head: str) -> nn.Module:
    network = _plain(architecture)
    setattr(network, head, nn.Identity())
    return network  # type: ignore[no-any-return]


def _vgg(architecture: str) -> nn.Module:
    network = _plain(architecture)
    network.avgpool = nn.Sequential(network.avgpool, nn.Flatten())
    network.classifier = network.classifier[:5]
    return network  # type: ignore[no-any-return]


def _densenet(architecture: str) -> nn.Module:
    network = _without(architecture, "classifier")
    network.get_submodule("features").add_module("relu5", nn.ReLU())  # a function in torchvision's forward
    return network


def _mobilenet_v3(architecture: str) -> nn.Module:
    network = _plain(architecture)
    network.avgpool = nn.Sequential(network.avgpool, nn.Flatten())
    network.classifier = network.classifier[:2]
    return network  # type: ignore[no-any-return]


def _squeezenet(architecture: str) -> nn.Module:
    network = _plain(architecture)
    network.classifier = nn.AdaptiveAvgPool2d(1)
    return network  # type: ignore[no-any-return]


def _convnext(architecture: str) -> nn.Module:
    network = _plain(architecture)
    network.classifier = network.classifier[:2]
    return network  # type: ignore[no-any-return]


def _inception(architecture: str) -> nn.Module:
    # The published weights expect inputs scaled to -1..1. torchvision switches that on only when it loads the weights
    # itself. The auxiliary classifier serves the source classes alone.
    network = _plain(architecture, transform_input=True, aux_logits=False, init_weights=True)
    network.fc = nn.Identity()
    network.dropout = nn.Identity()
    return network  # type: ignore[no-any-return]


def _vit(architecture: str) -> nn.Module:
    patch = int(architecture.rpartition("_")[2])
    return AnySizeViT(image_size=224, patch_size=patch, num_layers=12, num_heads=12, hidden_dim=768, mlp_dim=3072)


def _maxvit(architecture: str) -> nn.Module:
    network = _plain(architecture)
    network.classifier = network.classifier[:5]
    return network  # type: ignore[no-any-return]


_BUILDERS: dict[str, Callable[[str], nn.Module]] = {
    "vgg": _vgg,
    "densenet": _densenet,
    "mobilenet_v2": lambda a: _without(a, "classifier"),
    "mobilenet_v3": _mobilenet_v3,
    "squeezenet": _squeezenet,
    "efficientnet": lambda a: _without(a, "classifier"),
    "convnext": _convnext,
    "swin": lambda a: _without(a, "head"),
    "vit": _vit,
    "maxvit": _maxvit,
    "inception": _inception,
}


def load_state(head: str, module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fill a network from a published file: the classifiers are left out, old names are brought up to date."""
    without_head = {
        _OLD_DENSENET.sub(r"\1\2.", name): tensor
        for name, tensor in tensors.items()
        if not name.startswith((f"{head}.", "AuxLogits."))
    }
    module.load_state_dict(without_head)


# ---- running -----------------------------------------------------------------------------------------------------


def run_stage(stage: Stage, module: nn.Module, index: int, x: Any) -> Any:
    """Run one stage: its modules one after another, behind what torchvision's forward does to the images first."""
    if index == 0 and isinstance(module, AnySizeViT):
        return module.embed(x)
    if index == 0 and isinstance(module, torchvision.models.Inception3):
        x = module._transform_input(x)
    for name in stage.prefixes:
        x = module.get_submodule(name)(x)
    return x


def pool(architecture: str, index: int, x: torch.Tensor) -> torch.Tensor:
    """Return stage `index`'s features (N, d): the mean over positions, or the class token of (N, T, D)."""
    if x.ndim == 3:
        return x[:, 0]
    if x.ndim == 2:
        return x
    # Swin keeps (N, H, W, C) inside; only its last stage, which ends with `permute`, hands out (N, C, H, W).
    positions_last = architecture.startswith("swin") and index < len(STAGES[architecture]) - 1
    return x.mean(dim=(1, 2) if positions_last else (2, 3))


# ---- what was cut off --------------------------------------------------------------------------------------------


class SourceHead(nn.Module):
    """The published classifier: last stage's output -> 1,000 ImageNet logits, under its name in the published file."""

    def __init__(self, architecture: str, name: str, layer: nn.Module) -> None:
        super().__init__()
        *path, last = name.split(".")
        parent: nn.Module = self
        for part in path:
            parent.add_module(part, nn.Module())
            parent = parent.get_submodule(part)
        parent.add_module(last, layer)
        self.architecture = architecture
        self.name = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map the last stage's output to logits (N, 1000)."""
        layer = self.get_submodule(self.name)
        if isinstance(layer, nn.Conv2d):  # SqueezeNet classifies every position, then averages
            return layer(x).relu().mean(dim=(2, 3))  # type: ignore[no-any-return]
        last = len(STAGES[self.architecture]) - 1
        return layer(pool(self.architecture, last, x))  # type: ignore[no-any-return]


def source_head(architecture: str, name: str, dim: int) -> nn.Module:
    """Build the classifier that was cut off, called `name` in the published file, with random weights."""
    layer: nn.Module = nn.Linear(dim, 1000, bias=not architecture.startswith("maxvit"))
    if architecture.startswith("squeezenet"):
        layer = nn.Conv2d(dim, 1000, kernel_size=1)
    return SourceHead(architecture, name, layer)
