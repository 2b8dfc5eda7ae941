"""What a model costs where it runs, and the limits that a person sets on it: milliseconds per image, megabytes of the file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GraphCost:
    """Milliseconds per single image on one thread and megabytes (10^6 bytes) of the exported graph, None where unknown.

    `measured` is False where they are predicted from multiply-adds and parameters.
    """

    ms: float | None
    mb: float | None
    measured: bool = False


@dataclass(frozen=True, kw_only=True)
class CostedModel:
    """The best trial of one network at one input size, with its validation score and its cost.

    `loss` is the validation loss by the objective, `within` whether it keeps the limits, `efficient` whether no other one is
    at least as good in loss, milliseconds and megabytes and better in one of them (the Pareto front).
    """

    trial: int
    backbone: str
    size_px: int
    strategy: str
    accuracy: float
    loss: float
    cost: GraphCost
    within: bool = True
    efficient: bool = False
    shipped: bool = False


@dataclass(frozen=True, kw_only=True)
class LimitsReport:
    """The limits of a run (None where there is none), the cost of its model, and what else was scored at which cost.

    `without` is the best model that breaks a limit and was scored nevertheless, where it scored better than the shipped one.
    """

    max_ms: float | None
    max_mb: float | None
    threads: int
    cost: GraphCost
    models: tuple[CostedModel, ...] = ()
    without: CostedModel | None = None
