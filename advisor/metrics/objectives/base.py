"""What every objective is: per-image values whose mean is the score, an interval, and the decision rule that it asks for.

The values are pseudo-values (the infinitesimal jackknife): for a mean, such as accuracy, each image's own contribution;
for macro F1 or AUROC the score plus n times the image's influence on it. So a paired comparison of two models, ties and
tests work on arrays of per-image values whatever the objective is.
Legend: n images, K classes. Sources: Efron 1982, "The jackknife, the bootstrap and other resampling plans", chapter 6;
for AUROC these are DeLong's placement values (DeLong, DeLong and Clarke-Pearson 1988).
"""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from advisor.aliases import Float64s, Floats, Ints
from advisor.metrics.decision_rule import MOST_PROBABLE
from advisor.records.objective import DecisionRule, ObjectiveName, ObjectiveScore

Groups = NDArray[Any] | None


class Objective(Protocol):
    """One score. A new one is a new file with a class of these members and a line in `table`."""

    @property
    def name(self) -> ObjectiveName:
        """Its name on the command line and in files."""

    @property
    def higher_is_better(self) -> bool:
        """True for scores in 0..1 where 1 is perfect, False for losses of at least 0 where 0 is perfect."""

    def items(self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule) -> Float64s | None:
        """Return per-image values (n,) whose mean is the score, or None where these images leave it undefined."""

    def interval(
        self, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule, groups: Groups, level: float
    ) -> tuple[float, float]:
        """Return the confidence interval of the score; images that share a value of `groups` are not independent."""

    def rule(self, probabilities_nK: Floats, labels_n: Ints) -> DecisionRule:
        """Return the decision rule that is best for this score on these held-out images."""

    def note(self, items_n: Float64s, labels_n: Ints, classes: int) -> str:
        """Return what is unusual about the score on these images, "" where nothing is."""


def value(
    objective: Objective, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule = MOST_PROBABLE
) -> float | None:
    """Return the score of calibrated probabilities, or None where these images leave it undefined; never nan."""
    items = objective.items(probabilities_nK, labels_n, rule) if len(labels_n) else None
    return None if items is None else float(items.mean())


def item_losses(
    objective: Objective, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule = MOST_PROBABLE
) -> Float64s | None:
    """Return per-image losses (n,), lower is better: the values themselves, or one minus them where higher is better."""
    items = objective.items(probabilities_nK, labels_n, rule) if len(labels_n) else None
    if items is None:
        return None
    return 1.0 - items if objective.higher_is_better else items


def loss(
    objective: Objective, probabilities_nK: Floats, labels_n: Ints, rule: DecisionRule = MOST_PROBABLE
) -> float | None:
    """Return the score as a loss of at least 0, lower is better; None where it is undefined."""
    items = item_losses(objective, probabilities_nK, labels_n, rule)
    return None if items is None else float(items.mean())


def score(
    objective: Objective,
    probabilities_nK: Floats,
    labels_n: Ints,
    rule: DecisionRule = MOST_PROBABLE,
    *,
    groups: Groups = None,
    level: float = 0.95,
) -> ObjectiveScore:
    """Return the score with its confidence interval, and a note where the images do not define all of it."""
    n, classes = probabilities_nK.shape
    items = objective.items(probabilities_nK, labels_n, rule) if n else None
    if items is None:
        why = "undefined: no images" if n == 0 else "undefined: all images here are of one class"
        return ObjectiveScore(name=objective.name, value=None, ci95=None, n=n, note=why)
    result = float(items.mean())
    low, high = objective.interval(probabilities_nK, labels_n, rule, groups, level)
    return ObjectiveScore(
        name=objective.name,
        value=result,
        ci95=(min(low, result), max(high, result)),
        n=n,
        note=objective.note(items, labels_n, classes),
    )
