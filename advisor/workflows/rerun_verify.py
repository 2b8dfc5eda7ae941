"""Agreement of a rerun with its recipe: bit-identical on the same kind of machine, else within max(0.5 points, 2 images).

In: a recipe and the scores of its rerun. Out: a `Rerun` that holds both, and the check (docs/design.md 3.4). Pure.
Does NOT cover: training again (`rerun`, `rerun_adaptation`).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import CheckError
from advisor.records import Dataset, Environment, Forgetting, TestScore
from advisor.records.recipe import Recipe
from advisor.runtime import environment

TOLERANCE = 0.005  # of accuracy, by which a rerun on another kind of machine may differ
TOLERANCE_IMAGES = 2  # or by this number of images, whichever is more


@dataclass(frozen=True, kw_only=True)
class RerunScore:
    """One rerun: its seed, its score and the hash of its weights."""

    seed: int
    accuracy: float
    n: int
    weights_sha256: str
    test: TestScore | None


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """The result of a rerun beside the recipe's own. `measured_on` is "test", "validation" or "target"."""

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
    same_devices: bool = True  # training used as many devices as the recipe's

    def __repr__(self) -> str:
        bits = "identical" if self.identical else "other weights"
        return f"Rerun({self.recipe}: {self.mean:.1%} on {self.measured_on}, {len(self.runs)} runs, {bits})"

    @property
    def identical(self) -> bool:
        """Whether the first run's weights equal the recipe's bit for bit."""
        return self.runs[0].weights_sha256 == self.expected_sha256


def compared(
    path: Path, data_set: Dataset, recipe: Recipe, runs: tuple[RerunScore, ...], same_data: bool, machine: Environment
) -> Rerun:
    """Return the reruns beside the recipe's score: of its test set if there was one, else of its validation."""
    outcome = recipe.outcome
    on_test = runs[0].test is not None
    expected = None
    if outcome is not None and on_test and outcome.test is not None:
        expected = outcome.test.accuracy
    elif outcome is not None and not on_test and outcome.validation is not None:
        expected = outcome.validation.accuracy
    scores = [r.accuracy for r in runs]
    return Rerun(
        recipe=str(path),
        data=data_set.root,
        same_data=same_data,
        same_machine=outcome is not None and environment.same_kind(outcome.environment, machine),
        measured_on=("test" if recipe.target is None else "target") if on_test else "validation",
        expected=expected if same_data else None,
        expected_sha256=outcome.weights_sha256 if outcome is not None else None,
        runs=runs,
        mean=statistics.fmean(scores),
        std=statistics.stdev(scores) if len(scores) > 1 else None,
        environment=machine,
    )


def check_comparable(recipe: Recipe, same_data: bool) -> None:
    """Raise CheckError where no rerun can be compared with the recipe: on other data, or without a score in it."""
    if not same_data:
        raise _other_data()
    if recipe.outcome is None or (recipe.outcome.test is None and recipe.outcome.validation is None):
        raise _no_score()


def agreement(result: Rerun) -> tuple[str | None, CheckError | None]:
    """Return the sentence of `verify` and None, or None and the error that says why the rerun does not agree."""
    try:
        return verify(result), None
    except CheckError as error:
        return None, error


def verify(result: Rerun) -> str:
    """Return a sentence that states the agreement. Raises CheckError if the rerun does not agree."""
    first = result.runs[0]
    if not result.same_data:
        raise _other_data()
    if result.expected is None:
        raise _no_score()
    if result.same_machine and result.same_devices:
        if not result.identical or first.accuracy != result.expected:
            raise CheckError(
                f"the same kind of machine produced other weights ({first.weights_sha256[:12]} instead of "
                f"{(result.expected_sha256 or 'none')[:12]}), accuracy {first.accuracy:.4f} instead of {result.expected:.4f}.",
                hint="The result depends on something outside the recipe: please report this.",
            )
        return f"identical: weights {first.weights_sha256[:12]}, {result.measured_on} accuracy {first.accuracy:.4f}"
    allowed = max(TOLERANCE, TOLERANCE_IMAGES / max(1, first.n))
    difference = abs(first.accuracy - result.expected)
    if difference > allowed + 1e-12:
        raise CheckError(
            f"{result.measured_on} accuracy {first.accuracy:.4f} differs from the recipe's {result.expected:.4f} by "
            f"{difference:.4f}; at most {allowed:.4f} is allowed on {_difference_of_machines(result)}."
        )
    return (
        f"within tolerance ({_difference_of_machines(result)}): {result.measured_on} accuracy {first.accuracy:.4f}, "
        f"the recipe states {result.expected:.4f}, allowed difference {allowed:.4f}"
    )


def _other_data() -> CheckError:
    return CheckError("--verify needs the recipe's own data.", hint="Omit --data or --verify.")


def _no_score() -> CheckError:
    return CheckError("the recipe has no score to compare with.", hint="Use a recipe that tl-advise wrote.")


def _difference_of_machines(result: Rerun) -> str:
    return "another number of devices" if result.same_machine else "another kind of machine"
