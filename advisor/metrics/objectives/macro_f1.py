"""Macro F1: the mean over classes of the harmonic mean of precision and recall.

Legend: n images, K classes. Classes without images take no part, and `note` lists how many; what is
wrongly decided as one of them still costs the recall of the true class.
Source: Opitz and Burst 2019 (1911.03347), equation 3, the mean of the classes' F1.
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
class MacroF1(prior_rule.PriorRuleScore):
    """The mean of 2 TP / (2 TP + FP + FN) over the classes that occur."""

    name: ClassVar[ObjectiveName] = "macro_f1"
    higher_is_better: ClassVar[bool] = True

    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return the score plus n times each image's influence on it.

        An image of class i decided as j changes F1 of k by (2 [i = j = k] - F1_k ([i = k] + [j = k])) / (labels_k +
        decisions_k), which sums to 0 over the images, so that the mean of the values is the score.
        """
        classes, n = probabilities_nK.shape[1], len(labels_n)
        decided_n = decide(probabilities_nK, rule)
        labels_K = np.bincount(labels_n, minlength=classes)
        total_K = labels_K + np.bincount(decided_n, minlength=classes)
        right_n = decided_n == labels_n
        f1_K = 2 * np.bincount(labels_n[right_n], minlength=classes) / np.maximum(total_K, 1)
        share_K = np.where(labels_K > 0, 1.0 / max(1, int((labels_K > 0).sum())), 0.0) / np.maximum(total_K, 1)
        influence_n = (
            2 * right_n * share_K[labels_n] - f1_K[labels_n] * share_K[labels_n] - f1_K[decided_n] * share_K[decided_n]
        )
        return np.asarray(f1_K[labels_K > 0].mean() + n * influence_n)
