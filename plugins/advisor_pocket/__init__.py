"""The built-in backbone: a small residual network whose weights lie in this package, so that no network is needed.

Offers one `Backbone` named "pocket" through the same hook as anybody's plugin. Importable without torch. The card is
README.md beside this file; `pretrain.py` and `training/` are how the weights were made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from advisor.hooks import Backbone, Preprocess, Stage, Weights, hookimpl

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = Path(__file__).with_name("pocket.safetensors")
WEIGHTS_SHA256 = "81740e1a9c414200bf348cd913848a15541e2945ee6541c74518e54e7360e44c"
WEIGHTS_BYTES = 6_108_288


def build() -> torch.nn.Module:
    """Build the network with random weights."""
    from advisor_pocket.network import PocketNet

    return PocketNet()


BACKBONE = Backbone(
    name="pocket",
    dim=768,
    stages=tuple(Stage(name=name, prefixes=(name,)) for name in ("stem", "stage1", "stage2", "stage3", "stage4")),
    preprocess=Preprocess(size=112, resize=112, interpolation="bilinear"),
    weights=Weights(
        file=WEIGHTS_FILE.name,
        path=str(WEIGHTS_FILE),
        sha256_prefix=WEIGHTS_SHA256,
        bytes=WEIGHTS_BYTES,
        licence="Apache-2.0",
    ),
    published_accuracy=None,  # it was never trained or measured on ImageNet's classes
    parameters=3_045_632,
    macs=222_781_440,
    source="pretrained by this project: see the card beside advisor_pocket/__init__.py",
    build=build,
)


@hookimpl
def advisor_backbones() -> list[Backbone]:
    """Offer the built-in backbone."""
    return [BACKBONE]
