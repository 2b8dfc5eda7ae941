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
WIDTHS = (64, 128, 256)  # channels of stage1, stage2, stage3
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
        nn.init.zeros_(self.second[1].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu_(self.second(self.first(x)).add_(x))


class PocketNet(nn.Module):
    """Four stages behind a stem; an image of S px leaves stage3 and stage4 at S / 16 px."""

    def __init__(self, stem=STEM, widths=WIDTHS, depths=DEPTHS, dim=DIM) -> None:
        super().__init__()
        self.stem = ConvNorm(3, stem, stride=2)
        w=(stem,)+tuple(widths)
        for i in range(3):
            setattr(self, f"stage{i+1}", nn.Sequential(ConvNorm(w[i], w[i+1], stride=2), *(Residual(w[i+1]) for _ in range(depths[i]))))
        self.stage4 = ConvNorm(widths[-1], dim, kernel=1)

    def forward(self, x):
        for name in ("stem", "stage1", "stage2", "stage3", "stage4"):
            x = getattr(self, name)(x)
        return x.mean((2, 3))
