"""Balanced accuracy: the mean recall over classes, so that every class counts the same however many images it has.

Legend: n images, K classes. Classes without images take no part, and `note` lists how many.
Source: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advisor.aliases import Float64s, Floats, Ints
from advisor.metrics import intervals
from advisor.metrics.decision_rule import decide
from advisor.metrics.objectives import prior_rule
from advisor.metrics.objectives.base import Groups
from advisor.records.objective import DecisionRule, ObjectiveName


@dataclass(frozen=True)
class BalancedAccuracy:
    """The mean over the classes that occur of the share of their images whose decided class is theirs."""

    name: ClassVar[ObjectiveName] = "balanced_accuracy"
    higher_is_better: ClassVar[bool] = True

    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return the recall of the class plus n / (classes x images of the class) of the image's deviation from it.

        The mean is the balanced accuracy, and the spread that of an estimate whose class counts vary as well.
        """
        classes = probabilities_nK.shape[1]
        right_n = (decide(probabilities_nK, rule) == labels_n).astype(np.float64)
        n_K = np.bincount(labels_n, minlength=classes)
        recall_K = np.bincount(labels_n, weights=right_n, minlength=classes) / np.maximum(n_K, 1)
        present = n_K > 0
        scale_K = len(labels_n) / (present.sum() * np.maximum(n_K, 1))
        return np.asarray(recall_K[present].mean() + scale_K[labels_n] * (right_n - recall_K[labels_n]))

    def interval(
        self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule, groups: Groups, level: float
    ) -> tuple[float, float]:
        """Return the score interval at the number of independent images that the values correspond to."""
        items = self.items(probabilities_nK, labels_n, rule)
        assert items is not None
        most = prior_rule.independent_images(labels_n)
        return intervals.bounded_mean(items, 0.0, 1.0, groups=groups, most=most, level=level)

    def rule(self, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
        """Return the weights that correct for the class frequencies as far as these images support it."""
        return prior_rule.choose(self, probabilities_nK, labels_n)

    def note(self, items_n: Float64s, labels_n: Ints, classes: int) -> str:
        """Return how many classes have no image here and take no part."""
        return prior_rule.missing_classes(labels_n, classes)
