"""Scores that count every class the same, and their decision rule: probabilities divided by a power of the class frequency.

With calibrated probabilities, the full correction (power 1) maximises balanced accuracy and none (power 0) maximises
accuracy; macro F1 lies between. The power is chosen on held-out images from five values, so that a few images cannot
fit a threshold to noise. Source: Menon et al. 2020 (2007.07314), section 4, logit adjustment after training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from advisor.aliases import Float64s, Floats, Ints
from advisor.metrics import intervals
from advisor.metrics.objectives.base import Groups
from advisor.records.objective import DecisionRule

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)


class PriorRuleScore(ABC):
    """A score in 0..1 for which every class counts the same: its interval, its decision rule and its note."""

    @abstractmethod
    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return per-image values whose mean is the score."""

    def interval(
        self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule, groups: Groups, level: float
    ) -> tuple[float, float]:
        """Return the score interval at the number of independent images that the values correspond to."""
        items = self.items(probabilities_nK, labels_n, rule)
        assert items is not None
        most = independent_images(labels_n)
        return intervals.bounded_mean(items, 0.0, 1.0, groups=groups, most=most, level=level)

    def rule(self, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
        """Return the weights that correct for the class frequencies as far as these images support it."""
        return choose(self, probabilities_nK, labels_n)

    def note(self, items_n: Float64s, labels_n: Ints, classes: int) -> str:
        """Return how many classes have no image here and take no part."""
        return missing_classes(labels_n, classes)


def choose(objective: PriorRuleScore, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
    """Return the rule with the best score on these held-out images; of equal ones the least correction."""
    best, rule = -np.inf, DecisionRule()
    for power in POWERS:
        candidate = correction(labels_n, probabilities_nK.shape[1], power)
        items = objective.items(probabilities_nK, labels_n, candidate)
        if items is not None and float(items.mean()) > best + 1e-12:
            best, rule = float(items.mean()), candidate
    return rule


def correction(labels_n: Ints, classes: int, power: float) -> DecisionRule:
    """Return the weights (class frequency) ** -power, scaled to a largest one of 1; a class without images counts as one."""
    if power == 0:
        return DecisionRule()
    counts_K = np.maximum(np.bincount(labels_n, minlength=classes), 1).astype(np.float64)
    weights_K = (counts_K / counts_K.min()) ** -power
    return DecisionRule(weights=tuple(float(w) for w in weights_K))


def independent_images(labels_n: Ints) -> float:
    """Return Kish's effective number of images where each class weighs the same, at most n (1992)."""
    n_K = np.unique(labels_n, return_counts=True)[1].astype(np.float64)
    return float(len(n_K) ** 2 / (1.0 / n_K).sum())


def missing_classes(labels_n: Ints, classes: int) -> str:
    """Return how many of the classes have no image here and take no part in the score, "" where all have."""
    present = len(np.unique(labels_n))
    return "" if present == classes else f"over {present} of {classes} classes; the others have no image here"
