"""A vision transformer of torchvision that takes any input size: its position table is resampled to the grid of the input.

In: images_NCHW, square, at least one patch. Out: class tokens_ND. The stored table keeps the shape of the published
weights, so one file serves every size; at its own size the arithmetic is torchvision's, bit for bit.
Source: Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.2 (interpolation of position embeddings).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer


class AnySizeViT(VisionTransformer):  # type: ignore[misc]
    """torchvision's VisionTransformer without its classifier, for any square input of at least one patch."""

    def __init__(self, **shape: Any) -> None:
        super().__init__(num_classes=1, **shape)
        self.heads = nn.Identity()

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Cut images (N, 3, H, W) into patches and give tokens (N, 1 + patches, D), class token first."""
        patches = self.conv_proj(images)  # (N, D, h, w)
        rows, columns = patches.shape[-2:]
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return self.encoder.dropout(tokens + self._positions(rows, columns))  # type: ignore[no-any-return]

    def _positions(self, rows: int, columns: int) -> torch.Tensor:
        table = self.encoder.pos_embedding  # (1, 1 + side * side, D)
        side = self.image_size // self.patch_size
        if (rows, columns) == (side, side):
            return table  # type: ignore[no-any-return]
        grid = table[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = nn.functional.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True)
        return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the class token (N, D) behind the last norm."""
        encoder = self.encoder
        return encoder.ln(encoder.layers(self.embed(images)))[:, 0]  # type: ignore[no-any-return]
