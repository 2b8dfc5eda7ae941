"""The decision rule that a model's description stores: read, and checked against the number of classes.

In: the field `decision` of `model.json` or `ensemble.json`. Out: a `DecisionRule`. Does NOT cover: applying it
(`metrics.decision_rule`), choosing it (`selection.objective_decision`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.records.objective import DecisionRule


def read(path: Path, stored: Any, classes: int) -> DecisionRule:
    """Return the rule stored in the file at `path`; none stored means the most probable class.

    Raises InputError where it is not a number for every class (`weights`), or for every pair of classes (`costs`).
    """
    if stored is None:
        return DecisionRule()
    if not isinstance(stored, dict):
        raise _fault(path, "", "an object")
    weights, costs = stored.get("weights") or [], stored.get("costs") or []
    if weights and not _numbers(weights, classes):
        raise _fault(path, ".weights", f"{classes} finite numbers, one per class")
    if costs and not (isinstance(costs, list) and len(costs) == classes and all(_numbers(r, classes) for r in costs)):
        raise _fault(path, ".costs", f"{classes} rows of {classes} finite numbers")
    return DecisionRule(weights=tuple(weights), costs=tuple(tuple(row) for row in costs))


def _numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_finite, value))


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _fault(path: Path, field: str, expected: str) -> InputError:
    return InputError(f"{path}: decision{field}: expected {expected}.", hint="Copy the file from the run again.")
