"""The pocket network: a small residual net made for a processor without an accelerator.

In: images_NCHW, RGB, normalised. Out: features_ND, D = `DIM`. Dense 3x3 convolutions, since depthwise ones are
bound by memory on a CPU; most of the work lies where channels are many and pixels few.
Does NOT cover: weights (beside this file), preprocessing (`advisor_pocket.BACKBONE`).
Source: residual blocks of He et al. 2015 (1512.03385), widths and depths chosen by speed on two cores.
"""

from __future__ import annotations

import torch
from torch import nn

STEM = 32
WIDTHS = (48, 96, 256)  # channels of stage1, stage2, stage3
DEPTHS = (1, 1, 2)  # residual blocks behind each stage's strided convolution
DIM = 768  # width of the 1x1 expansion (stage4), which is what is pooled


class ConvNorm(nn.Sequential):
    """Convolve, normalise and, unless `act` is false, rectify."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, act: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if act:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Residual(nn.Module):
    """x + f(x) with two 3x3 convolutions; the last BatchNorm starts at zero, so that the block starts as identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width, act=False)
        nn.init.zeros_(torch.as_tensor(self.second[1].weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu_(self.second(self.first(x)).add_(x))


class PocketNet(nn.Module):
    """Four stages behind a stem; an image of S px leaves stage3 and stage4 at S / 16 px."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM, stride=2)
        self.stage1 = _stage(STEM, WIDTHS[0], DEPTHS[0])
        self.stage2 = _stage(WIDTHS[0], WIDTHS[1], DEPTHS[1])
        self.stage3 = _stage(WIDTHS[1], WIDTHS[2], DEPTHS[2])
        self.stage4 = ConvNorm(WIDTHS[2], DIM, kernel=1)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Return features (N, DIM): the mean of the last activation over its positions."""
        x = self.stage1(self.stem(images_NCHW))
        x = self.stage4(self.stage3(self.stage2(x)))
        return torch.as_tensor(x.mean(dim=(2, 3)))  # (N, DIM)


def _stage(inputs: int, width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(inputs, width, stride=2), *(Residual(width) for _ in range(depth)))
