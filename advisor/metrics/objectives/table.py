"""The objectives by name: `ObjectiveSpec` -> `Objective`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from advisor.metrics.objectives.auroc import Auroc
from advisor.metrics.objectives.balanced_accuracy import BalancedAccuracy
from advisor.metrics.objectives.base import Objective
from advisor.metrics.objectives.macro_f1 import MacroF1
from advisor.metrics.objectives.means import Accuracy, Cost, LogLoss
from advisor.records.objective import ObjectiveName, ObjectiveSpec

_BY_NAME: Mapping[ObjectiveName, Callable[[ObjectiveSpec], Objective]] = {
    "log_loss": lambda spec: LogLoss(),
    "accuracy": lambda spec: Accuracy(),
    "balanced_accuracy": lambda spec: BalancedAccuracy(),
    "macro_f1": lambda spec: MacroF1(),
    "auroc": lambda spec: Auroc(),
    "cost": lambda spec: Cost(spec.costs),
}


def make(spec: ObjectiveSpec) -> Objective:
    """Return the objective that `spec` names."""
    return _BY_NAME[spec.name](spec)
