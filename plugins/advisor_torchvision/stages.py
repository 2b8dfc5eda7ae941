"""How each torchvision network is cut, from stem to head: stage names and the modules that each stage runs, in order.

A stage ends where the resolution halves (or, in a transformer of one resolution, after a quarter of the blocks), so
that "the last two stages" means about the same depth everywhere. Only the last, 1,000-class layer is cut off, with the
dropout in front of it: what a published network computes before its classifier is what transfers (Kornblith et al.
2018, arXiv:1805.08974), so MobileNetV3's and VGG's hidden layers stay, as stages of their own.
Does NOT cover: modules that hold no parameters and are not run by name (`networks`).
"""

from __future__ import annotations

from advisor.hooks import Stage


def _stage(name: str, *prefixes: str) -> Stage:
    return Stage(name=name, prefixes=prefixes)


def _features(name: str, first: int, last: int, *more: str) -> Stage:
    return Stage(name=name, prefixes=(*(f"features.{i}" for i in range(first, last + 1)), *more))


_RESNET = (
    _stage("stem", "conv1", "bn1", "relu", "maxpool"),
    _stage("layer1", "layer1"),
    _stage("layer2", "layer2"),
    _stage("layer3", "layer3"),
    _stage("layer4", "layer4"),
)
_VGG16 = (
    _features("block1", 0, 4),
    _features("block2", 5, 9),
    _features("block3", 10, 16),
    _features("block4", 17, 23),
    _features("block5", 24, 30),
    _stage("fc6", "avgpool", "classifier.0", "classifier.1", "classifier.2"),
    _stage("fc7", "classifier.3", "classifier.4"),
)
_DENSENET = (
    _stage("stem", "features.conv0", "features.norm0", "features.relu0", "features.pool0"),
    _stage("block1", "features.denseblock1", "features.transition1"),
    _stage("block2", "features.denseblock2", "features.transition2"),
    _stage("block3", "features.denseblock3", "features.transition3"),
    _stage("block4", "features.denseblock4", "features.norm5", "features.relu5"),
)
_MOBILENET_V2 = (
    _features("stem", 0, 1),
    _features("stride4", 2, 3),
    _features("stride8", 4, 6),
    _features("stride16", 7, 13),
    _features("stride32", 14, 16),
    _features("tail", 17, 18),
)
_HIDDEN = _stage("hidden", "avgpool", "classifier.0", "classifier.1")
_MOBILENET_V3_SMALL = (
    _features("stem", 0, 0),
    _features("stride4", 1, 1),
    _features("stride8", 2, 3),
    _features("stride16", 4, 8),
    _features("stride32", 9, 11),
    _features("tail", 12, 12),
    _HIDDEN,
)
_MOBILENET_V3_LARGE = (
    _features("stem", 0, 1),
    _features("stride4", 2, 3),
    _features("stride8", 4, 6),
    _features("stride16", 7, 12),
    _features("stride32", 13, 15),
    _features("tail", 16, 16),
    _HIDDEN,
)
_SQUEEZENET1_1 = (
    _features("stem", 0, 2),
    _features("fire2_3", 3, 5),
    _features("fire4_5", 6, 8),
    _features("fire6_7", 9, 10),
    _features("fire8_9", 11, 12),
)
_SHUFFLENET = (
    _stage("stem", "conv1", "maxpool"),
    _stage("stage2", "stage2"),
    _stage("stage3", "stage3"),
    _stage("stage4", "stage4"),
    _stage("tail", "conv5"),
)
_EFFICIENTNET = (
    _features("stem", 0, 1),
    _features("stride4", 2, 2),
    _features("stride8", 3, 3),
    _features("stride16", 4, 5),
    _features("stride32", 6, 6),
    _features("tail", 7, 8),
)
_EFFICIENTNET_V2_S = (
    _features("stem", 0, 1),
    _features("stride4", 2, 2),
    _features("stride8", 3, 3),
    _features("stride16", 4, 5),
    _features("stride32", 6, 6),
    _features("tail", 7, 7),
)
_REGNET = (
    _stage("stem", "stem"),
    _stage("block1", "trunk_output.block1"),
    _stage("block2", "trunk_output.block2"),
    _stage("block3", "trunk_output.block3"),
    _stage("block4", "trunk_output.block4"),
)
# The norm behind ConvNeXt's pooling belongs to what the classifier was trained on, so it stays.
_CONVNEXT = (
    _features("stem", 0, 0),
    _features("stage1", 1, 1),
    _features("stage2", 2, 3),
    _features("stage3", 4, 5),
    _features("stage4", 6, 7, "avgpool", "classifier.0", "classifier.1"),
)
_SWIN = (
    _features("stem", 0, 0),
    _features("stage1", 1, 1),
    _features("stage2", 2, 3),
    _features("stage3", 4, 5),
    _features("stage4", 6, 7, "norm", "permute"),
)


def _layers(name: str, first: int, last: int, *more: str) -> Stage:
    return Stage(name=name, prefixes=(*(f"encoder.layers.encoder_layer_{i}" for i in range(first, last + 1)), *more))


_VIT_B = (
    _stage("stem", "conv_proj", "class_token", "encoder.pos_embedding", "encoder.dropout"),
    _layers("layers0_2", 0, 2),
    _layers("layers3_5", 3, 5),
    _layers("layers6_8", 6, 8),
    _layers("layers9_11", 9, 11, "encoder.ln"),
)
_MAXVIT = (
    _stage("stem", "stem"),
    _stage("block1", "blocks.0"),
    _stage("block2", "blocks.1"),
    _stage("block3", "blocks.2"),
    _stage("block4", "blocks.3", *(f"classifier.{i}" for i in range(5))),
)
_INCEPTION_V3 = (
    _stage("stem", "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    _stage("stem2", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    _stage("mixed5", "Mixed_5b", "Mixed_5c", "Mixed_5d"),
    _stage("mixed6", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    _stage("mixed7", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
)

STAGES: dict[str, tuple[Stage, ...]] = {
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "resnet101": _RESNET,
    "vgg16": _VGG16,
    "densenet121": _DENSENET,
    "mobilenet_v2": _MOBILENET_V2,
    "mobilenet_v3_small": _MOBILENET_V3_SMALL,
    "mobilenet_v3_large": _MOBILENET_V3_LARGE,
    "squeezenet1_1": _SQUEEZENET1_1,
    "shufflenet_v2_x1_0": _SHUFFLENET,
    "efficientnet_b0": _EFFICIENTNET,
    "efficientnet_b1": _EFFICIENTNET,
    "efficientnet_b3": _EFFICIENTNET,
    "efficientnet_v2_s": _EFFICIENTNET_V2_S,
    "regnet_y_400mf": _REGNET,
    "regnet_y_1_6gf": _REGNET,
    "regnet_y_3_2gf": _REGNET,
    "convnext_tiny": _CONVNEXT,
    "convnext_small": _CONVNEXT,
    "convnext_base": _CONVNEXT,
    "swin_t": _SWIN,
    "swin_v2_t": _SWIN,
    "maxvit_t": _MAXVIT,
    "vit_b_16": _VIT_B,
    "vit_b_32": _VIT_B,
    "inception_v3": _INCEPTION_V3,
}
