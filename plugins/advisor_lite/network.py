"""EfficientNet-Lite in torch: inverted bottlenecks without squeeze-and-excite, ReLU6, TensorFlow's SAME padding.

In: images_NCHW, (x - 127) / 128. Out: features_ND, D = `DIM`. Stages are plain sequences named as `advisor_lite` lists
them; `rename` maps the names in the published files to the module's own.
Does NOT cover: where files lie, preprocessing (`advisor_lite`).
Source: MBConv of Sandler et al. 2018 (1801.04381); widths and depths of Tan and Le 2019 (1905.11946), table 1, where the
Lite variants leave stem, head and the depth of the first and last block group as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

STEM, DIM = 32, 1280
# Block groups: repeats, kernel, stride, expansion, channels; and the stage in which each group lies.
GROUPS = (
    (1, 3, 1, 1, 16, "stem"),
    (2, 3, 2, 6, 24, "stride4"),
    (2, 5, 2, 6, 40, "stride8"),
    (3, 3, 2, 6, 80, "stride16"),
    (3, 5, 1, 6, 112, "stride16"),
    (4, 5, 2, 6, 192, "stride32"),
    (1, 3, 1, 6, 320, "tail"),
)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: ceil(size / stride) positions, the odd pixel at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return functional.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        high, wide = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
        x = functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return functional.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


def conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolve, normalise and, unless `act` is false, rectify."""
    layers: list[nn.Module] = [
        SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers, nn.ReLU6(inplace=True)) if act else nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Expand, convolve each channel by itself, project; added to the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = conv_norm(inputs, width) if expansion > 1 else nn.Identity()
        self.depthwise = conv_norm(width, width, kernel, stride, groups=width)
        self.project = conv_norm(width, outputs, act=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class LiteNet(nn.Module):
    """Six stages; the last convolution of the tail widens to `DIM` channels, whose mean over positions is the feature."""

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        blocks: dict[str, list[nn.Module]] = {"stem": [conv_norm(3, STEM, 3, 2)]}
        inputs = STEM
        for index, (repeats, kernel, stride, expansion, channels, stage) in enumerate(GROUPS):
            outputs = _width(channels, width)
            deep = repeats if index in (0, len(GROUPS) - 1) else math.ceil(depth * repeats)
            for block in range(deep):
                made = Bottleneck(inputs, outputs, kernel, stride if block == 0 else 1, expansion)
                blocks.setdefault(stage, []).append(made)
                inputs = outputs
        blocks["tail"].append(conv_norm(inputs, DIM))
        for stage, layers in blocks.items():
            self.add_module(stage, nn.Sequential(*layers))

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Return features (N, DIM): the mean of the last activation over its positions."""
        x = images_NCHW
        for stage in self.children():
            x = stage(x)
        return x.mean(dim=(2, 3))  # (N, DIM)


def _width(channels: int, factor: float) -> int:
    # The nearest multiple of eight that loses at most a tenth.
    scaled = channels * factor
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class SourceHead(nn.Module):
    """The published classifier: the last stage's output -> 1,000 ImageNet logits, under its name in the file."""

    def __init__(self) -> None:
        super().__init__()
        self._fc = nn.Linear(DIM, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map the last stage's output (N, DIM, h, w) to logits (N, 1000)."""
        return self._fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


# ---- names in the published files --------------------------------------------------------------------------------

_PARTS = {  # of one block, in the files: with an expansion, _bn0 belongs to it
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(_\w+)\.(\w+)")


def rename(tensors: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """Map a published file's names to the module's own, without the classifier; counters of batches start at zero."""
    blocks = [n for n, part in module.named_modules() if isinstance(part, Bottleneck)]
    stem, head = "stem.0", f"tail.{len(module.get_submodule('tail')) - 1}"  # type: ignore[arg-type]
    ends = {"_conv_stem": f"{stem}.0", "_bn0": f"{stem}.1", "_conv_head": f"{head}.0", "_bn1": f"{head}.1"}
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        block = _BLOCK.fullmatch(name)
        part, _, leaf = name.partition(".")
        if block is not None:
            renamed[f"{blocks[int(block[1])]}.{_PARTS[block[2]]}.{block[3]}"] = tensor
        elif part in ends:
            renamed[f"{ends[part]}.{leaf}"] = tensor
        elif part != "_fc":
            renamed[name] = tensor  # unknown: loading refuses it by name
    counters = {n: v for n, v in module.state_dict().items() if n.endswith("num_batches_tracked")}
    return {**{n: torch.zeros_like(v) for n, v in counters.items()}, **renamed}
