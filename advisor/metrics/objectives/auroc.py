"""AUROC, one class against the rest, mean over classes: how well probabilities rank, whatever the threshold.

Legend: n images, K classes. A class needs images inside and outside of it; others take no part, and with images of a
single class the score is undefined. Sources: Hanley and McNeil 1982; DeLong, DeLong and Clarke-Pearson 1988.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advisor.aliases import Bools, Float64s, Floats, Ints
from advisor.metrics import intervals
from advisor.metrics.decision_rule import MOST_PROBABLE
from advisor.metrics.objectives import prior_rule
from advisor.metrics.objectives.base import Groups
from advisor.records.objective import DecisionRule, ObjectiveName


@dataclass(frozen=True)
class Auroc:
    """The probability that an image of a class is ranked above one of another class; ties count half."""

    name: ClassVar[ObjectiveName] = "auroc"
    higher_is_better: ClassVar[bool] = True

    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return the score plus n times each image's influence on it, from the placement values of every class."""
        present = np.unique(labels_n)
        if len(present) < 2:
            return None
        values = [_placements(probabilities_nK[:, label], labels_n == label) for label in present]
        return np.asarray(np.mean(values, axis=0))

    def interval(
        self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule, groups: Groups, level: float
    ) -> tuple[float, float]:
        """Return the score interval at the number of independent images that the influences correspond to."""
        items = self.items(probabilities_nK, labels_n, rule)
        if items is None:
            return 0.0, 1.0
        n_K = np.unique(labels_n, return_counts=True)[1]
        # Near a perfect ranking Hanley and McNeil's variance is that of about 2 x the rarer class's images. The areas of
        # more than two classes are nearly independent of each other there, and each has its own.
        most = 2.0 * float(n_K.min()) if len(n_K) == 2 else 2.0 * len(n_K) * prior_rule.independent_images(labels_n)
        return intervals.bounded_mean(items, 0.0, 1.0, groups=groups, most=most, level=level)

    def rule(self, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
        """Return the most probable class: a ranking takes no decision."""
        return MOST_PROBABLE

    def note(self, items_n: Float64s, labels_n: Ints, classes: int) -> str:
        """Return how many classes have no image here and take no part."""
        return prior_rule.missing_classes(labels_n, classes)


def _placements(scores_n: Floats, inside_n: Bools) -> Float64s:
    """Return per-image values (n,) whose mean is one class's AUROC, with n times the image's influence in each."""
    n, inside = len(scores_n), int(inside_n.sum())
    outside = n - inside
    ranks_n = _mean_ranks(scores_n)
    own_n = np.empty(n)
    own_n[inside_n] = _mean_ranks(scores_n[inside_n])
    own_n[~inside_n] = _mean_ranks(scores_n[~inside_n])
    beaten_n = ranks_n - own_n  # how many of the other side lie below, ties half
    placement_n = np.where(inside_n, beaten_n / outside, 1.0 - beaten_n / inside)
    area = float(placement_n[inside_n].mean())
    return np.asarray(area + n * (placement_n - area) / np.where(inside_n, inside, outside))


def _mean_ranks(scores_n: Floats) -> Float64s:
    """Return ranks from 1 (n,); ties share their mean rank."""
    _, value_n, counts = np.unique(scores_n, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[value_n])
