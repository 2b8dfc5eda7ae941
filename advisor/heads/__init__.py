"""Heads on frozen features: ridge, logistic regression, prototypes, nearest neighbours."""

from advisor.heads.fitting import KINDS, CosineHead, KnnHead, LinearHead, fit, initial, oof, predict

__all__ = ["KINDS", "CosineHead", "KnnHead", "LinearHead", "fit", "initial", "oof", "predict"]
