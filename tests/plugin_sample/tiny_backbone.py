"""A backbone for tl-advise: two strided convolutions. torch is imported where it is needed, not at the top."""

from collections import OrderedDict

from advisor.hooks import Backbone, Preprocess, Stage, Weights, hookimpl


def build():
    from torch import nn

    def block(inputs, outputs):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())

    end = {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}  # the forward gives (N, dim): no classifier
    return nn.Sequential(OrderedDict(stem=block(3, 16), body=block(16, 32), **end))


@hookimpl
def advisor_backbones():
    stages = (Stage(name="stem", prefixes=("stem",)), Stage(name="body", prefixes=("body",)))  # from stem to head
    weights = Weights(file="tiny-backbone.safetensors", url="https://example.org/tiny-backbone.safetensors")
    preprocess = Preprocess(size=32, resize=36)
    return [Backbone(name="tiny", dim=32, stages=stages, preprocess=preprocess, weights=weights, build=build)]
