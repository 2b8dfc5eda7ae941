"""The score that decides, and how probabilities become one answer: values that go into settings, recipe and model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ObjectiveName = Literal["log_loss", "accuracy", "balanced_accuracy", "macro_f1", "auroc", "cost"]
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)


@dataclass(frozen=True, kw_only=True)
class Words:
    """What an objective is called in sentences: the score, and the loss that decides (lower is better)."""

    score: str
    loss: str


OBJECTIVE_WORDS: dict[ObjectiveName, Words] = {
    "log_loss": Words(score="log-loss", loss="log-loss"),
    "accuracy": Words(score="accuracy", loss="error rate"),
    "balanced_accuracy": Words(score="balanced accuracy", loss="balanced error rate"),
    "macro_f1": Words(score="macro F1", loss="1 - macro F1"),
    "auroc": Words(score="AUROC", loss="1 - AUROC"),
    "cost": Words(score="mean cost", loss="mean cost"),
}


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """Which score decides. `costs[i][j]` is the cost of answering class j for an image of class i, for "cost" alone."""

    name: ObjectiveName = "log_loss"
    costs: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """How calibrated probabilities p (K,) become one class.

    With `costs`, the class of the lowest expected cost, sum over i of p[i] costs[i][j]. Otherwise the largest
    p[k] weights[k]; without `weights` the most probable class. For two classes, weights (w0, w1) mean: answer class 1
    where p[1] is at least w0 / (w0 + w1), the threshold.
    """

    weights: tuple[float, ...] = ()
    costs: tuple[tuple[float, ...], ...] = ()

    @property
    def threshold(self) -> float | None:
        """The probability of class 1 from which on it is the answer; None unless there are two classes and weights."""
        if len(self.weights) == 2:
            return self.weights[0] / (self.weights[0] + self.weights[1])
        if len(self.costs) == 2:
            wrong_1, wrong_0 = self.costs[0][1] - self.costs[0][0], self.costs[1][0] - self.costs[1][1]
            sensible = min(wrong_1, wrong_0) >= 0 and wrong_1 + wrong_0 > 0  # else no share of p[1] divides the answers
            return wrong_1 / (wrong_1 + wrong_0) if sensible else None
        return None


@dataclass(frozen=True, kw_only=True)
class ObjectiveScore:
    """The value of the objective with its 95 % interval, on `n` images; None where these images leave it undefined.

    `note` states what is unusual about it, such as classes without images; "" where nothing is.
    """

    name: ObjectiveName
    value: float | None
    ci95: tuple[float, float] | None
    n: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class DecisionEffect:
    """The decision rule, chosen on validation, and the test set's confusion matrices without and with it.

    `without` takes the most probable class. [i][j] is the number of images of class i decided as class j. `threshold` is
    the probability of the second of two classes from which on it is the answer, None for more classes.
    """

    rule: DecisionRule
    threshold: float | None
    without: tuple[tuple[int, ...], ...]
    with_rule: tuple[tuple[int, ...], ...]
