"""Objectives that are means over images: log-loss, accuracy, and the cost of decisions.

Their per-image values are plain contributions. Legend: n images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advisor.aliases import Float64s, Floats, Ints
from advisor.metrics import intervals
from advisor.metrics.decision_rule import MOST_PROBABLE, decide
from advisor.metrics.objectives.base import Groups
from advisor.records.objective import DecisionRule, ObjectiveName

# Kish's effective number of images that carry a mean loss, below which its interval covers less than it states: in
# simulations 81 % instead of 95 % at a log-loss of 0.05 on 100 images, 88 to 93 % for costs (docs/objective.md).
FEW_IMAGES = 25
_TINY = 1e-300  # the smallest probability whose logarithm is taken


class _OfAllImages:
    """What is the same for means over images: every image counts, so nothing is ever undefined."""

    higher_is_better: ClassVar[bool]

    def note(self, items_n: Float64s, labels_n: Ints, classes: int) -> str:
        """Return a warning where a mean of losses rests on few images, "" otherwise."""
        total = float(items_n.sum())
        if self.higher_is_better or total <= 0 or total**2 / float(items_n @ items_n) >= FEW_IMAGES:
            return ""
        return f"rests on few images ({total**2 / float(items_n @ items_n):.0f}); its interval may be too narrow"


@dataclass(frozen=True)
class LogLoss(_OfAllImages):
    """Minus the mean log-probability of the true class, natural logarithm."""

    name: ClassVar[ObjectiveName] = "log_loss"
    higher_is_better: ClassVar[bool] = False

    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return the log-loss of each image."""
        true_class_n = np.asarray(probabilities_nK, dtype=np.float64)[np.arange(len(labels_n)), labels_n]
        return np.asarray(-np.log(np.maximum(true_class_n, _TINY)))

    def interval(
        self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule, groups: Groups, level: float
    ) -> tuple[float, float]:
        """Return Student's interval of the mean on a logarithmic scale."""
        items = self.items(probabilities_nK, labels_n, rule)
        assert items is not None
        return intervals.positive_mean(items, groups=groups, level=level)

    def rule(self, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
        """Return the most probable class: the log-loss takes no decision."""
        return MOST_PROBABLE


@dataclass(frozen=True)
class Accuracy(_OfAllImages):
    """The share of images whose decided class is theirs."""

    name: ClassVar[ObjectiveName] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return 1 where the decision is right, else 0."""
        return np.asarray(decide(probabilities_nK, rule) == labels_n, dtype=np.float64)

    def interval(
        self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule, groups: Groups, level: float
    ) -> tuple[float, float]:
        """Return Wilson's interval, over groups where there are any."""
        right_n = decide(probabilities_nK, rule) == labels_n
        if groups is None:
            return intervals.wilson(int(right_n.sum()), len(right_n), level=level)
        return intervals.grouped_wilson(right_n, groups, level=level)

    def rule(self, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
        """Return the most probable class, which calibrated probabilities make the best answer."""
        return MOST_PROBABLE


@dataclass(frozen=True)
class Cost(_OfAllImages):
    """The mean cost of decisions: `costs[i][j]`, at least 0, is what answering class j costs for an image of class i."""

    costs: tuple[tuple[float, ...], ...]
    name: ClassVar[ObjectiveName] = "cost"
    higher_is_better: ClassVar[bool] = False

    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return the cost of each image's decision, the one of the lowest expected cost unless `rule` has its own."""
        applied = rule if rule.costs or rule.weights else DecisionRule(costs=self.costs)
        table = np.asarray(self.costs, dtype=np.float64)
        return np.asarray(table[labels_n, decide(probabilities_nK, applied)])

    def interval(
        self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule, groups: Groups, level: float
    ) -> tuple[float, float]:
        """Return the interval of a mean of bounded values, between the lowest and the highest cost of the table."""
        items = self.items(probabilities_nK, labels_n, rule)
        assert items is not None
        table = np.asarray(self.costs, dtype=np.float64)
        return intervals.bounded_mean(items, float(table.min()), float(table.max()), groups=groups, level=level)

    def rule(self, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
        """Return the decision of the lowest expected cost."""
        return DecisionRule(costs=self.costs)
