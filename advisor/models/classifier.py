"""The classifier: a backbone's body and a head in one module.

In: normalised images. Out: pooled features and logits. Does NOT cover: files and predictions (`predictor`), fitting heads
(`heads`), training. Legend: N images, C channels, H, W, S side of a square, D features, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from advisor.hooks import Backbone
from advisor.models import backbone as backbones


class SquareResize(nn.Module):
    """Resize squares: (N, C, S, S) -> (N, C, `to_px`, `to_px`), bilinear with antialiasing.

    Two matrix products, the same numbers as `interpolate(antialias=True)`: every export has them. Its matrix follows from
    the two sides, so that it is in no state_dict.
    """

    matrix: torch.Tensor

    def __init__(self, from_px: int, to_px: int) -> None:
        super().__init__()
        self.to_px = to_px
        each_pixel = torch.eye(from_px)[None, None]
        resized = nn.functional.interpolate(each_pixel, size=(to_px, from_px), mode="bilinear", antialias=True)
        self.register_buffer("matrix", resized[0, 0], persistent=False)

    def forward(self, x_NCSS: torch.Tensor) -> torch.Tensor:
        """Resize rows, then columns."""
        return self.matrix @ x_NCSS @ self.matrix.T


def resizing(from_px: int, to_px: int | None) -> SquareResize | None:
    """Return what resizes squares for a network that takes others; None where it takes them as they are."""
    return None if to_px is None else SquareResize(from_px, to_px)


class Classifier(nn.Module):
    """A backbone's network and a head: normalised images (N, 3, H, W) -> logits (N, K).

    `layers` says which pooled features the head reads: "last", "all" side by side, or the name of one stage. With
    `mirror` they are averaged over each image and its mirror image. `resize` changes the side of the images before the
    network sees them, where several models take the same squares.
    """

    def __init__(
        self,
        backbone: Backbone,
        body: nn.Module,
        head: nn.Module,
        layers: str = "last",
        *,
        mirror: bool = False,
        resize: SquareResize | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.body = body
        self.head = head
        self.layers = layers
        self.mirror = mirror
        self.resize = resize

    @property
    def compared_width(self) -> int:
        """How many of the last features that the head reads are compared between images: those of its last stage."""
        if self.layers in ("last", "all"):
            return self.backbone.dim
        widths = backbones.stage_dims(self.backbone, self.body, self.backbone.preprocess.size)
        return widths[backbones.stage_index(self.backbone, self.layers)]

    def features(self, x_NCHW: Any) -> torch.Tensor:
        """Compute the pooled features (N, D) that the head reads."""
        x_NCHW = x_NCHW if self.resize is None else self.resize(x_NCHW)
        pooled_ND = self._pooled(x_NCHW)
        return 0.5 * (pooled_ND + self._pooled(x_NCHW.flip(-1))) if self.mirror else pooled_ND

    def _pooled(self, x_NCHW: Any) -> torch.Tensor:
        if self.layers == "all":
            return torch.cat(backbones.checked_pooled(self.backbone, self.body, x_NCHW), dim=1)
        last = len(self.backbone.stages) - 1
        index = last if self.layers == "last" else backbones.stage_index(self.backbone, self.layers)
        activation = backbones.run(self.backbone, self.body, x_NCHW, stop=index + 1)
        return backbones.checked(self.backbone, index, self.backbone.pool(self.body, index, activation), x_NCHW.dtype)

    def forward(self, x_NCHW: Any) -> torch.Tensor:
        """Compute the logits (N, K)."""
        return self.head(self.features(x_NCHW))  # type: ignore[no-any-return]
