"""Heads on frozen features: ridge, logistic regression, prototypes, nearest neighbours."""

from advisor.heads.fitting import KINDS, fit, initial, oof, predict
from advisor.heads.modules import CosineHead, KnnHead, LinearHead

__all__ = ["KINDS", "CosineHead", "KnnHead", "LinearHead", "fit", "initial", "oof", "predict"]
