"""What a strategy may meet: a variety of contexts, and a stand-in for Optuna's trial that notes what is asked of it.

Out: `Context` records from a handful of images to many, with and without norm layers and a target; `Draws`, a `Space`
that draws from a seed and raises on a range that no sampler could draw from. No torch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from advisor.errors import RuleError
from advisor.hooks import Context, StageSize

T = TypeVar("T")
_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")


def context(
    *,
    images: int = 400,
    classes: int = 4,
    norm: bool = True,
    target: bool = False,
    teacher: bool = False,
    device: str = "cpu",
    probe: Mapping[str, float] | None = None,
    stages: Sequence[str] = _STAGES,
    linear: bool = False,
    counts: Sequence[int] = (),
    objective: str = "log_loss",
) -> Context:
    """Make a context of a five-stage network, of convolutions or `linear` layers; classes are even without `counts`."""
    even = [images // classes + (i < images % classes) for i in range(classes)]
    sizes = [(name, 1000 * 4**i) for i, name in enumerate(stages)]
    return Context(
        images=images,
        classes=classes,
        class_counts=tuple(counts or even),
        stages=tuple(
            StageSize(name=n, parameters=size, has_norm=norm, linear=size if linear else 0) for n, size in sizes
        ),
        has_norm=norm,
        dim=512,
        device=device,
        has_target=target,
        has_teacher=teacher,
        probe=probe or {},
        objective=objective,
    )


def variety() -> tuple[Context, ...]:
    """List contexts that differ in all that a strategy may look at."""
    probe = {
        "accuracy": 0.8,
        "log_loss": 0.7,
        "ridge": 0.01,
        "inverse_regularisation": 100.0,
        "strength": 0.01,
        "c": 1.0,
    }
    return (
        context(),
        context(images=10, classes=2),
        context(images=15, classes=5, probe=probe),
        context(images=50_000, classes=1000, device="cuda", probe=probe),
        context(norm=False),
        context(linear=True),
        context(target=True),
        context(teacher=True),
        context(counts=(300, 60, 30, 10), objective="macro_f1", teacher=True),
        context(target=True, teacher=True),
        context(stages=("only",)),
    )


class Draws:
    """A `Space` that draws evenly from a seed; every range is checked the way Optuna checks it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.asked: dict[str, tuple[Any, ...]] = {}
        self.drawn: dict[str, Any] = {}

    def _note(self, name: str, *what: Any) -> None:
        if not isinstance(name, str) or not name:
            raise RuleError(f"space() asks for a parameter named {name!r}, expected text")
        if name in self.asked and self.asked[name] != what:
            raise RuleError(f"space() asks for {name} twice with different ranges: {self.asked[name]} and {what}")
        self.asked[name] = what

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number in [low, high]."""
        self._range(name, low, high, log)
        self._note(name, "float", low, high, log)
        if log:
            return self._drawn(name, min(high, max(low, math.exp(self._random.uniform(math.log(low), math.log(high))))))
        return self._drawn(name, self._random.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number in [low, high]."""
        self._range(name, low, high, log)
        self._note(name, "int", low, high, log)
        return self._drawn(name, self._random.randint(low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Draw one of `choices`."""
        if not choices or not all(c is None or isinstance(c, (bool, int, float, str)) for c in choices):
            raise RuleError(
                f"space() offers {choices!r} for {name}, expected plain values (numbers, text, true, false)"
            )
        self._note(name, "choice", *choices)
        return self._drawn(name, self._random.choice(list(choices)))

    def _drawn(self, name: str, value: T) -> T:
        self.drawn[name] = value
        return value

    def _range(self, name: str, low: float, high: float, log: bool) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (log and low <= 0):
            raise RuleError(f"space() draws {name} from {low} to {high}{' on a log scale' if log else ''}")
