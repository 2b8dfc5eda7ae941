"""Balanced accuracy: the mean recall over classes, so that every class counts the same however many images it has.

Legend: n images, K classes. Classes without images take no part, and `note` lists how many.
Source: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advisor.aliases import Float64s, Floats, Ints
from advisor.metrics.decision_rule import decide
from advisor.metrics.objectives import prior_rule
from advisor.records.objective import DecisionRule, ObjectiveName


@dataclass(frozen=True)
class BalancedAccuracy(prior_rule.PriorRuleScore):
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
