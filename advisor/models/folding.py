"""A classifier for inference on a CPU: every BatchNorm behind a convolution is folded into that convolution.

In: a classifier with running statistics. Out: a copy that computes the same outputs up to rounding in fewer passes over
memory, or the classifier itself where nothing can be folded. Which convolution feeds which BatchNorm is seen on an image;
the copy is compared with the original on it, so that a network of another structure is left as it is.
Does NOT cover: training, scores (they keep the bits of the network as it was trained). Legend: S pixels a side.
"""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from advisor.models.classifier import Classifier

# Relative to the largest output. Rounding is a hundredth of it; a BatchNorm that was folded wrongly is far above.
TOLERANCE = 1e-4
Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


def folded(classifier: Classifier, size_px: int) -> Classifier:
    """Return a copy in eval mode with BatchNorm folded, or `classifier` itself where that is not possible.

    `size_px` is S of the image (1, 3, S, S) on which the copy is made and compared.
    """
    image = torch.rand(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    try:
        made = copy.deepcopy(classifier).cpu().eval()
        with torch.inference_mode(False), torch.no_grad():
            expected, pairs = _watched(made, image)
            for convolution, norm in pairs:
                _fold(convolution, norm)
            _replace(made, {id(norm) for _, norm in pairs})
            same = torch.allclose(made(image), expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))
    except Exception:  # a third-party network that cannot be copied or run like this works as it is
        return classifier
    return made if pairs and same else classifier


def _watched(classifier: Classifier, image: torch.Tensor) -> tuple[torch.Tensor, list[Pair]]:
    """Run the classifier on the image; return its logits, and the convolutions whose output went into a BatchNorm."""
    producers: dict[int, nn.Conv2d] = {}
    outputs: list[torch.Tensor] = []  # kept, so that no id is used twice
    runs: Counter[int] = Counter()
    pairs: list[Pair] = []

    def after_convolution(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        runs[id(module)] += 1
        outputs.append(output)
        producers[id(output)] = module

    def before_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        runs[id(module)] += 1
        if id(inputs[0]) in producers and module.track_running_stats:
            pairs.append((producers[id(inputs[0])], module))

    hooks = [m.register_forward_hook(after_convolution) for m in classifier.modules() if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(before_norm) for m in classifier.modules() if isinstance(m, nn.BatchNorm2d)]
    try:
        logits = classifier(image)
    finally:
        for hook in hooks:
            hook.remove()
    once = 2 if classifier.mirror else 1  # passes
    return logits, [p for p in dict.fromkeys(pairs) if runs[id(p[0])] == runs[id(p[1])] == once]


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _replace(module: nn.Module, norms: set[int]) -> None:
    for name, child in module.named_children():
        if id(child) in norms:
            setattr(
                module, name, getattr(child, "act", None) or nn.Identity()
            )  # timm's BatchNorm ends with an activation
        else:
            _replace(child, norms)
