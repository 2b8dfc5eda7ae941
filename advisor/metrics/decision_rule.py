"""Probabilities -> one class per image, by the rule that an objective asks for.

In: calibrated probabilities (n, K) and a `DecisionRule`. Out: class numbers (n,). Does NOT cover: choosing the rule
(`objectives`). Source: Elkan 2001, "The foundations of cost-sensitive learning", equation 1 and section 2.
"""

from __future__ import annotations

import numpy as np

from advisor.aliases import Floats, Rows
from advisor.records.objective import DecisionRule

MOST_PROBABLE = DecisionRule()


def decide(probabilities_nK: Floats, rule: DecisionRule = MOST_PROBABLE) -> Rows:
    """Return the class of each row, (n,): of two equally good ones the first."""
    if rule.costs:
        return np.asarray(np.argmin(probabilities_nK @ np.asarray(rule.costs, dtype=np.float64), axis=1))
    if rule.weights:
        return np.asarray(np.argmax(probabilities_nK * np.asarray(rule.weights, dtype=np.float64), axis=1))
    return np.asarray(np.argmax(probabilities_nK, axis=1))
