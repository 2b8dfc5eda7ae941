"""The recipe: everything that a rerun needs, as frozen records that are also the fields of `recipe.yaml` (schema 1).

Text -> Recipe (strict: an unknown field, a wrong type, a value out of range is one line that begins with its path) and
Recipe -> text. What decides a rerun: data, backbone, input, strategy with its parameters, training, seed, compute and
the fitted numbers. `plan` is the strategy's plan written out for a reader; a rerun builds it again and stops where it
differs, so that there are no two truths. What it does not cover: running it (`advisor/replay.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.errors import RecipeError
from advisor.records import Compute, Environment, TrainPlan, ValidationScore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from advisor.hooks import Strategy

SCHEMA = 1
FILE = "recipe.yaml"
Scalar = str | int | float | bool | None
_NOTES = {
    "plan": "The plan that the strategy makes of the above; a rerun checks it. Delete it before changing parameters.",
    "outcome": "What came out; nothing below decides anything.",
}


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """The package that a backbone or a strategy came from."""

    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the locked test came about. `list_sha256` is the hash of the split list, `rule` "given", "cut" or "none"."""

    rule: str
    fraction: float
    pool: int
    test: int
    list_sha256: str


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data set: what it is known by (fingerprint), where it was (`path_hint`), its class names in label order.

    `leaks_removed` holds where images that were also in the test were taken out of training.
    """

    name: str
    path_hint: str
    fingerprint: str
    images: int
    classes: tuple[str, ...]
    split: Split
    leaks_removed: bool = False
    pool_sample: int | None = None  # only so many pool images were used (a stratified sample, fixed by content)
    test_sample: int | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """The pretrained file that was loaded, with the true SHA-256 of its bytes."""

    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class BackboneUse:
    """Which network, from which package, with which tensors (`weights` is null exactly where `from_scratch` holds)."""

    name: str
    plugin: Plugin
    weights: WeightsFile | None
    from_scratch: bool = False


@dataclass(frozen=True, kw_only=True)
class Input:
    """How pixels reach the network: made square by `fit`, resized, cut to `size_px`, /255, (x - mean) / std."""

    size_px: int
    resize_px: int
    interpolation: str
    fit: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class StrategyUse:
    """Which strategy, from which package, with which parameters."""

    name: str
    plugin: Plugin
    parameters: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long the refit trains: `steps` on this data set, `epochs` where the recipe is applied to another one.

    Where no time was left to train on all images, the model is that of this `fold`'s training part, or the mean of the
    weights of trainings on several folds' parts.
    """

    steps: int
    epochs: float
    batch: int
    fold: int | None = None
    mean_of_folds: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How validation was done: `folds` stratified folds drawn from the seed, of which those in `scored` were used."""

    folds: int
    scored: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Numbers fitted out of fold before the refit: the softmax's temperature, and others by name (`alpha` …)."""

    temperature: float = 1.0
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TargetUse:
    """The unlabelled images that an adaptation learned from: known by their bytes; `seed` is the chosen training's.

    `statistics`: the network saw the source alone, and BatchNorm's running statistics are the target's.
    """

    path_hint: str
    fingerprint: str
    images: int
    statistics: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class TestOutcome:
    """The score on the locked test, with its 95 % interval; of an adaptation, on the labelled part of the target."""

    accuracy: float
    ci95: tuple[float, float]
    n: int
    balanced_accuracy: float
    log_loss: float

    __test__ = False  # pytest must not collect it


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out. `weights_sha256` is the hash of the refit model's tensors, `seconds` what the refit took."""

    validation: ValidationScore | None
    test: TestOutcome | None
    weights_sha256: str | None
    environment: Environment
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One run, written down. `status` is "provisional" (no test yet) or "final"."""

    schema: int
    status: str
    created_by: str
    data: Data
    backbone: BackboneUse
    input: Input
    strategy: StrategyUse
    training: Training
    seed: int
    compute: Compute
    validation: Validation = field(default_factory=lambda: Validation(folds=5, scored=(0,)))
    fitted: Fitted = field(default_factory=Fitted)
    plan: TrainPlan | None = None
    outcome: Outcome | None = None
    ensemble: dict[str, Any] | None = None
    target: TargetUse | None = None
    devices: int | None = None  # on which the training ran at the same time, where that was more than one


def read(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe from its file, or from the run directory that holds it.

    Raises: RecipeError where there is none, it cannot be read, or it is not a recipe.
    """
    file = Path(path)
    if file.is_dir():
        file = file / FILE
    try:
        if file.stat().st_size > 16_000_000:
            raise RecipeError(f"{file}: too large to be a recipe.", hint="Name the recipe.yaml of a run.")
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{file}: no such recipe.", hint=f"Name a {FILE} or the directory of a run.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{file}: not a text file in UTF-8.", hint=f"Name a {FILE}.") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}.") from None
    return parse(text, name=str(file))


def parse(text: str, *, name: str = "") -> Recipe:
    """Return the recipe that `text` holds; `name` is what it is called in an error.

    Raises: RecipeError with one line that begins with the path of the field at fault.
    """
    from advisor import recipe_check, strict_yaml

    where = f"(in {name})" if name else ""
    try:
        raw = strict_yaml.loads(text)
    except ValueError as error:
        raise RecipeError(f"{name or 'recipe'}: {error}") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{name or 'recipe'}: expected the fields of a recipe, got {recipe_check.show(raw)}")
    try:
        recipe = recipe_check.convert(raw, Recipe)
        recipe_check.check(recipe)
    except ValueError as error:
        raise RecipeError(str(error), hint=where) from None
    return recipe


def write(recipe: Recipe, *, command: str = "") -> str:
    """Return the recipe as YAML under its header comment; `parse` gives back its equal."""
    from advisor import recipe_check, strict_yaml

    fields = {key: value for key, value in recipe_check.plain(recipe).items() if value is not None}
    body = strict_yaml.dumps(fields)
    for key, note in _NOTES.items():
        body = body.replace(f"\n{key}:", f"\n# {note}\n{key}:", 1)  # nested lines are indented, so this is the chapter
    return header(recipe, command=command) + body


def header(recipe: Recipe, *, command: str = "") -> str:
    """Return the comment that opens the file: what it is, how to rerun it, what to expect, on which machine it ran."""
    data, out = recipe.data, recipe.outcome
    what = f"{len(data.classes)} classes, {data.images} images ({data.name})"
    lines = [f"{recipe.strategy.name} on {recipe.backbone.name}: {what}"]
    if command:
        lines.append(f"made by:  {command}")
    lines.append(f"rerun:    tl-advise rerun {FILE} --verify")
    if out and out.test:
        low, high = out.test.ci95
        score = f"test accuracy {out.test.accuracy:.3f} [{low:.3f} .. {high:.3f}], n = {out.test.n}, one run"
        lines.append(f"expected: {score}, seed {recipe.seed}")
    elif out and out.validation:
        score = f"validation accuracy {out.validation.accuracy:.3f}, n = {out.validation.n}, optimistic"
        lines.append(f"expected: {score}; no test score yet")
    if out:
        place = out.environment
        threads = f"{place.threads} thread{'s' if place.threads > 1 else ''}"
        lines.append(f"machine:  {place.model}, {place.device}, {threads}; {out.seconds:.0f} s to redo")
    return "".join(f"# {_comment(line)}\n" for line in lines)


def check_parameters(strategy: Strategy, parameters: Mapping[str, Any], *, path: str = "strategy.parameters") -> None:
    """Check a strategy's parameters against the ranges on its card; a card without parameters checks nothing.

    Raises: RecipeError whose line begins with `path`, the parameter's name, and what was expected.
    """
    from advisor import recipe_check

    known = getattr(strategy.card, "parameters", ())
    if not known:
        return
    by_name = {parameter.name: parameter for parameter in known}
    for name, value in parameters.items():
        if name not in by_name:
            raise RecipeError(
                recipe_check.unknown(f"{path}.{name}", name, list(by_name), f'the strategy "{strategy.name}"')
            )
        expected = recipe_check.expected(by_name[name], value)
        if expected:
            raise RecipeError(f"{path}.{name}: expected {expected}, got {recipe_check.show(value)}")


def _comment(line: str) -> str:
    """One printable line: names come from folders, and a line break in one would end the comment."""
    return "".join(c if c.isprintable() else "?" for c in line)
