"""Held-out logits of a trial -> what decides about it: its loss by the objective, per image and as a whole.

The decision rule is the one that the objective asks for on these very images, as it will be for the final model; it has
five values to choose from at most. Legend: n images, K classes.
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import Float64s, Floats, Ints
from advisor.metrics import classification
from advisor.metrics.objectives.base import item_losses
from advisor.metrics.objectives.table import make
from advisor.records.objective import DecisionRule, ObjectiveSpec

# The loss of a score that the images leave undefined (AUROC with one class): a random ranking's, so that nothing is nan.
UNDEFINED = 0.5


def image_losses(spec: ObjectiveSpec, logits_nK: Floats, labels_n: Ints, temperature: float) -> Float64s:
    """Return the loss of each image (n,), lower is better, whose mean is the trial's loss."""
    if spec.name == "log_loss":
        return classification.item_log_loss(np.asarray(logits_nK, dtype=np.float64) / temperature, labels_n)
    return of_probabilities(spec, classification.probabilities(logits_nK, temperature=temperature), labels_n)


def of_probabilities(spec: ObjectiveSpec, probabilities_nK: Floats, labels_n: Ints) -> Float64s:
    """Return the loss of each image (n,) from calibrated probabilities."""
    objective = make(spec)
    losses = item_losses(objective, probabilities_nK, labels_n, objective.rule(probabilities_nK, labels_n))
    return np.full(len(labels_n), UNDEFINED) if losses is None else losses


def loss(spec: ObjectiveSpec, logits_nK: Floats, labels_n: Ints, temperature: float = 1.0) -> float | None:
    """Return the loss by the objective; None where the log-loss is the objective, which every trial has anyway."""
    if spec.name == "log_loss":
        return None
    return float(image_losses(spec, logits_nK, labels_n, temperature).mean())


def rule(spec: ObjectiveSpec, logits_nK: Floats, labels_n: Ints, temperature: float) -> DecisionRule:
    """Return the decision rule that the objective asks for on these held-out images."""
    probabilities_nK = classification.probabilities(logits_nK, temperature=temperature)
    return make(spec).rule(probabilities_nK, labels_n)
