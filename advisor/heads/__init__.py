"""Heads on frozen features: ridge, logistic regression, prototypes, nearest neighbours; `registry` lists them."""

from advisor.heads.fitting import fit, oof
from advisor.heads.knn import KnnHead
from advisor.heads.linear_head import LinearHead, initial
from advisor.heads.outputs import predict
from advisor.heads.prototypes import CosineHead
from advisor.heads.registry import KINDS

__all__ = ["KINDS", "CosineHead", "KnnHead", "LinearHead", "fit", "initial", "oof", "predict"]
