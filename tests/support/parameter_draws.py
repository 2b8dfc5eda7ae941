"""Stand-ins for a sampler: parameters drawn from numpy, or given, where a strategy suggests them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Drawn:
    """Draws parameters from numpy, and remembers from which ranges."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.ranges: dict[str, tuple[Any, ...]] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        assert name not in self.ranges
        self.ranges[name] = (low, high)
        return float(np.exp(self.draw.uniform(np.log(low), np.log(high))) if log else self.draw.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        assert name not in self.ranges
        self.ranges[name] = (low, high)
        return int(self.draw.integers(low, high + 1))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        assert name not in self.ranges
        self.ranges[name] = tuple(choices)
        return choices[int(self.draw.integers(len(choices)))]


class Given(Drawn):
    """Answers with given parameters where they lie in the range asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(0)
        self.given = given

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        assert low <= self.given[name] <= high, name
        return float(self.given[name])

    suggest_int = suggest_float  # type: ignore[assignment]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        assert self.given[name] in choices, name
        return self.given[name]
