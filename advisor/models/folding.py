"""A classifier for inference on a CPU: every BatchNorm behind a convolution is folded into that convolution.

In: a classifier with running statistics. Out: a copy that computes the same outputs up to rounding in fewer passes over
memory, or the classifier itself where nothing can be folded. Which convolution feeds which BatchNorm is seen on images of
the whole range of pixels; the copy is compared with the original on them, in its features (a head may hide a difference),
so that a network of another structure is left as it is.
Does NOT cover: training. Legend: S pixels a side.
"""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from advisor.hooks import Backbone
from advisor.models import normalise
from advisor.models.classifier import Classifier
from advisor.records import Preprocess

# Relative to the largest output. Rounding is a hundredth of it; a BatchNorm that was folded wrongly is far above.
TOLERANCE = 1e-4
Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


def folded(classifier: Classifier, size_px: int) -> Classifier:
    """Return a copy in eval mode with BatchNorm folded, or `classifier` itself where that is not possible.

    `size_px` is S of the images (2, 3, S, S) on which the copy is made and compared.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in classifier.modules()):
        return classifier
    try:
        images = _images(size_px, classifier.backbone.preprocess)
        made = copy.deepcopy(classifier).cpu().eval()
        with torch.inference_mode(False), torch.no_grad():
            expected, pairs = _watched(made, images)
            for convolution, norm in pairs:
                _fold(convolution, norm)
            _replace(made, {id(norm) for _, norm in pairs})
            features = made.features(images)
            same = _alike(features, expected) and _alike(made.head(features), made.head(expected))
    except Exception:  # a third-party network that cannot be copied or run like this works as it is
        return classifier
    return made if pairs and same else classifier


def folded_body(backbone: Backbone, body: nn.Module, size_px: int) -> nn.Module:
    """Return a copy of a backbone's network with BatchNorm folded, or `body` itself; every stage's output is compared."""
    return folded(Classifier(backbone, body, nn.Identity(), "all"), size_px).body


def _images(size_px: int, preprocess: Preprocess) -> torch.Tensor:
    """Draw noise and large squares of full colours, as pixels 0..1 normalised: small and strong responses, (2, 3, S, S).

    What acts on strong responses alone, a bound of values or a branch, shows on the second.
    """
    draw = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, size_px, size_px, generator=draw)
    colours = torch.rand(1, 3, 8, 8, generator=draw).round()
    return normalise.standardise(torch.cat([noise, nn.functional.interpolate(colours, size=size_px)]), preprocess)


def _alike(outputs: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(outputs, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))


def _watched(classifier: Classifier, images: torch.Tensor) -> tuple[torch.Tensor, list[Pair]]:
    """Run the classifier; return its features, and the convolutions whose output went unchanged into a BatchNorm."""
    producers: dict[int, tuple[nn.Conv2d, int]] = {}
    outputs: list[torch.Tensor] = []  # kept, so that no id is used twice
    runs: Counter[int] = Counter()
    pairs: list[Pair] = []

    def after_convolution(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        runs[id(module)] += 1
        outputs.append(output)
        producers[id(output)] = module, output._version

    def before_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        runs[id(module)] += 1
        convolution, version = producers.get(id(inputs[0]), (None, 0))
        if convolution is not None and inputs[0]._version == version and module.track_running_stats:
            pairs.append((convolution, module))

    # Hooks of others may change what a layer gives: such layers stay as they are.
    own = [m for m in classifier.modules() if not (m._forward_hooks or m._forward_pre_hooks)]
    hooks = [m.register_forward_hook(after_convolution) for m in own if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(before_norm) for m in own if isinstance(m, nn.BatchNorm2d)]
    try:
        features = classifier.features(images)
    finally:
        for hook in hooks:
            hook.remove()
    once = 2 if classifier.mirror else 1  # passes
    return features, [p for p in dict.fromkeys(pairs) if runs[id(p[0])] == runs[id(p[1])] == once]


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _replace(module: nn.Module, norms: set[int]) -> None:
    for name, child in module.named_children():
        if id(child) in norms:
            activation = getattr(child, "act", None)  # with which timm's BatchNorm ends
            setattr(module, name, activation or nn.Identity())
        else:
            _replace(child, norms)
