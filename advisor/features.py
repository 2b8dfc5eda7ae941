"""Public: features of images from a pretrained backbone."""

from advisor.models.features import Pooled, blocks, extract, extract_features, select

__all__ = ["Pooled", "blocks", "extract", "extract_features", "select"]
