"""Does a rerun agree with its recipe: on the same kind of machine to the bit, elsewhere within max(0.5 points, 2 images).

In: a recipe and what came out of doing it again. Out: both side by side, and a verdict (docs/design.md 3.4). Pure.
Does NOT cover: doing it again (replay.py, readapt.py).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import CheckError
from advisor.records import Dataset, Environment, Forgetting, TestScore
from advisor.records.recipe import Recipe
from advisor.runtime import environment

POINTS = 0.005  # of accuracy, by which a rerun on another kind of machine may differ
IMAGES = 2  # or by so many images, whichever is more


@dataclass(frozen=True, kw_only=True)
class RerunScore:
    """One rerun: its seed, the score it reached, and the hash of its weights."""

    seed: int
    accuracy: float
    n: int
    weights_sha256: str
    test: TestScore | None


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What came out of a rerun, beside what the recipe says. `measured_on` is "test", "validation" or "target"."""

    recipe: str
    data: str
    same_data: bool
    same_machine: bool
    measured_on: str
    expected: float | None
    expected_sha256: str | None
    runs: tuple[RerunScore, ...]
    mean: float
    std: float | None
    environment: Environment
    forgetting: Forgetting | None = None
    same_devices: bool = True  # as many devices share the training as the recipe's did

    @property
    def identical(self) -> bool:
        """Whether the first run's weights equal the recipe's, bit for bit."""
        return self.runs[0].weights_sha256 == self.expected_sha256


def compared(
    path: Path, found: Dataset, told: Recipe, runs: tuple[RerunScore, ...], same: bool, here: Environment
) -> Rerun:
    """Put what came out beside what the recipe says: of its test, where there was one, else of its validation."""
    outcome = told.outcome
    on_test = runs[0].test is not None
    expected = None
    if outcome is not None and on_test and outcome.test is not None:
        expected = outcome.test.accuracy
    elif outcome is not None and not on_test and outcome.validation is not None:
        expected = outcome.validation.accuracy
    scores = [r.accuracy for r in runs]
    return Rerun(
        recipe=str(path),
        data=found.root,
        same_data=same,
        same_machine=outcome is not None and environment.same_kind(outcome.environment, here),
        measured_on=("test" if told.target is None else "target") if on_test else "validation",
        expected=expected if same else None,
        expected_sha256=outcome.weights_sha256 if outcome is not None else None,
        runs=runs,
        mean=statistics.fmean(scores),
        std=statistics.stdev(scores) if len(scores) > 1 else None,
        environment=here,
    )


def verify(result: Rerun) -> str:
    """Say in one sentence that the rerun agrees. Raises CheckError where it does not."""
    first = result.runs[0]
    if result.expected is None:
        raise CheckError("the recipe states no score to compare with.", hint="Use one that tl-advise exported.")
    if not result.same_data:
        raise CheckError("--verify needs the recipe's own data.", hint="Leave --data or --verify out.")
    if result.same_machine and result.same_devices:
        if not result.identical or first.accuracy != result.expected:
            raise CheckError(
                f"the same kind of machine gave other weights ({first.weights_sha256[:12]} instead of "
                f"{(result.expected_sha256 or 'none')[:12]}), accuracy {first.accuracy:.4f} instead of {result.expected:.4f}.",
                hint="Something outside the recipe decides: please report this.",
            )
        return f"identical: weights {first.weights_sha256[:12]}, {result.measured_on} accuracy {first.accuracy:.4f}"
    allowed = max(POINTS, IMAGES / max(1, first.n))
    difference = abs(first.accuracy - result.expected)
    if difference > allowed + 1e-12:
        raise CheckError(
            f"{result.measured_on} accuracy {first.accuracy:.4f} differs from the recipe's {result.expected:.4f} by "
            f"{difference:.4f}, more than {allowed:.4f}, which {_other(result)} explains."
        )
    return (
        f"within tolerance ({_other(result)}): {result.measured_on} accuracy {first.accuracy:.4f}, "
        f"the recipe says {result.expected:.4f}, allowed are {allowed:.4f}"
    )


def _other(result: Rerun) -> str:
    return "another number of devices" if result.same_machine else "another kind of machine"
