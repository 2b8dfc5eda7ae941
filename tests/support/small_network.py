"""A small real network as a backbone, and handwritten digits as canvases: what tests of training are made on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from advisor.heads.linear_head import LinearHead
from advisor.hooks import Backbone, Context, Preprocess, Stage, StageSize
from advisor.models import backbone as backbones
from advisor.models.classifier import Classifier
from advisor.records import Compute
from advisor.training.loop import TrainData

CLASSES = 4
SIDE = 16
DIM = 24
COMPUTE = Compute(device="cpu", precision="float32", layout="channels_last", threads=1)


class Small(nn.Module):
    """Three stages with BatchNorm, the last with dropout; one name is the beginning of the other two."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, *more: nn.Module) -> nn.Sequential:
            layers = [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=not norm)]
            return nn.Sequential(*layers, *([nn.BatchNorm2d(outputs)] if norm else []), nn.ReLU(), *more)

        self.layer_1 = block(3, 8)
        self.layer_11 = block(8, 16)
        self.layer_12 = block(16, DIM, nn.Dropout(0.2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer_12(self.layer_11(self.layer_1(x))).mean((2, 3))


def backbone(norm: bool = True) -> Backbone:
    """Describe the network as a plugin would."""
    return Backbone(
        name="small",
        dim=DIM,
        stages=tuple(
            Stage(name=n, prefixes=(p,)) for n, p in (("stem", "layer_1"), ("middle", "layer_11"), ("top", "layer_12"))
        ),
        preprocess=Preprocess(size=12, resize=SIDE),
        build=lambda: Small(norm),
    )


def classifier(seed: int = 0, norm: bool = True) -> Classifier:
    """Build the network and a random head from a seed."""
    here = backbone(norm)
    body = backbones.build(here, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    head = LinearHead(torch.randn(CLASSES, DIM, generator=draw) * 0.1, torch.zeros(CLASSES))
    return Classifier(here, body, head, "last")


def digits(count: int = 60, rows: Sequence[int] | None = None, *, target: bool = False) -> TrainData:
    """Give handwritten digits 0..3 as 16 px canvases; the target domain, where wanted, is every second one in negative."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=CLASSES, return_X_y=True)
    canvas = np.repeat(np.repeat(images.reshape(-1, 8, 8), 2, 1), 2, 2)[:count, :, :, None]
    pixels = np.ascontiguousarray(np.broadcast_to(canvas * 15.9, (*canvas.shape[:3], 3)).astype(np.uint8))
    taken: npt.NDArray[np.int64] = np.arange(count) if rows is None else np.asarray(rows, dtype=np.int64)
    return TrainData(
        canvas=pixels,
        labels=labels[:count],
        ids=np.arange(count, dtype=np.uint64) + 100,
        rows=taken,
        target_canvas=255 - pixels[::2] if target else None,
        target_ids=np.arange(len(pixels[::2]), dtype=np.uint64) + 900 if target else None,
    )


def context(images: int = 60, batch: int = 16, has_norm: bool = True, has_target: bool = True) -> Context:
    """Describe the small network and its data as a strategy sees them."""
    sizes = {"stem": 232, "middle": 1184, "top": 3504}
    return Context(
        images=images,
        classes=CLASSES,
        class_counts=(images // CLASSES,) * CLASSES,
        stages=tuple(StageSize(name=n, parameters=p, has_norm=has_norm) for n, p in sizes.items()),
        has_norm=has_norm,
        has_target=has_target,
        dim=DIM,
        batch=batch,
        size_px=12,
    )


def weights(network: Classifier) -> dict[str, torch.Tensor]:
    """Copy everything that a state dict holds."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Name the entries that differ in any bit."""
    return {name for name in before if not torch.equal(before[name], after[name])}
