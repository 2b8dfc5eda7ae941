"""`recipe.yaml`: text to a checked `Recipe` and back, under a comment that says how to rerun it.

Strict: an unknown field, a wrong type or a value out of range is one line that begins with the path of the field.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from advisor import errors
from advisor.errors import RecipeError
from advisor.records.plan import Card, Parameter
from advisor.records.recipe import Recipe
from advisor.safe_text import shortened

FILE = "recipe.yaml"


_NOTES = {
    "plan": "The plan that the strategy makes of the above; a rerun checks it. Delete it before changing parameters.",
    "outcome": "What came out; nothing below decides anything.",
}


def read(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe from its file, or from the run directory that holds it.

    Raises RecipeError where there is none, it cannot be read, or it is not a recipe.
    """
    file = Path(path, FILE) if os.path.isdir(path) else Path(path)
    try:
        if file.stat().st_size > 16_000_000:
            raise RecipeError(f"{file}: too large to be a recipe.", hint="Name the recipe.yaml of a run.")
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        hint = errors.nearest_run(path, FILE, f"Name a {FILE} or the directory of a run.")
        raise RecipeError(f"{file}: no such recipe.", hint=hint) from None
    except UnicodeDecodeError:
        raise RecipeError(f"{file}: not a text file in UTF-8.", hint=f"Name a {FILE}.") from None
    except OSError as error:
        raise RecipeError(f"{shortened(str(file))}: cannot be read: {error.strerror}.") from None
    return parse(text, name=str(file))


def parse(text: str, *, name: str = "") -> Recipe:
    """Return the recipe that `text` holds; `name` is what it is called in an error.

    Raises RecipeError with one line that begins with the path of the field at fault.
    """
    from advisor.records import recipe_validation, strict_yaml

    where = f"(in {name})" if name else ""
    try:
        raw = strict_yaml.loads(text)
    except ValueError as error:
        raise RecipeError(f"{name or 'recipe'}: {error}") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{name or 'recipe'}: expected the fields of a recipe, got {recipe_validation.show(raw)}")
    try:
        recipe = recipe_validation.convert(raw, Recipe)
        recipe_validation.check(recipe)
    except ValueError as error:
        raise RecipeError(str(error), hint=where) from None
    return recipe


def write(recipe: Recipe, *, command: str = "") -> str:
    """Return the recipe as YAML under its header comment; `parse` gives back its equal."""
    from advisor.records import recipe_validation, strict_yaml

    fields = {key: value for key, value in recipe_validation.plain(recipe).items() if value is not None}
    weights = fields["backbone"]["weights"]
    if weights and not weights["revision"]:
        del weights["revision"]  # only files of a hub have one
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
        machine = out.environment
        threads = f"{machine.threads} thread{'s' if machine.threads > 1 else ''}"
        lines.append(f"machine:  {machine.model}, {machine.device}, {threads}; {out.seconds:.0f} s to redo")
    return "".join(f"# {_comment(line)}\n" for line in lines)


class HasCard(Protocol):
    """A strategy, as far as its parameters can be checked."""

    @property
    def name(self) -> str:
        """The strategy's name."""

    @property
    def card(self) -> Card | str:
        """What declares its parameters."""


def check_parameters(strategy: HasCard, parameters: Mapping[str, Any], *, path: str = "strategy.parameters") -> None:
    """Check a strategy's parameters against the ranges on its card; a card without parameters checks nothing.

    Raises RecipeError whose line begins with `path`, the parameter's name, and what was expected.
    """
    from advisor.records import recipe_validation

    declared = getattr(strategy.card, "parameters", ())
    if not declared:
        return
    by_name = {parameter.name: parameter for parameter in declared}
    for name, value in parameters.items():
        if name not in by_name:
            raise RecipeError(
                recipe_validation.unknown(f"{path}.{name}", name, list(by_name), f'the strategy "{strategy.name}"')
            )
        expected = recipe_validation.expected(by_name[name], value)
        if expected:
            raise RecipeError(f"{path}.{name}: expected {expected}, got {recipe_validation.show(value)}")


def fault_of_card(card: Card) -> str:
    """Return what is wrong with the parameters that a strategy's card declares, "" where nothing is."""
    if isinstance(card.parameters, str) or not isinstance(card.parameters, Sequence):
        return (
            f"card.parameters is a {type(card.parameters).__name__}, expected a tuple of Parameter: (Parameter(...),)"
        )
    for parameter in card.parameters:
        name = getattr(parameter, "name", None)
        if not isinstance(parameter, Parameter) or not isinstance(name, str):
            return f"card.parameters holds {parameter!r:.80}, expected Parameter(name=..., default=..., meaning=...)"
        if parameter.kind not in ("float", "int", "choice"):
            return f"card: {name} is of kind {parameter.kind!r}, expected float, int or choice"
        if isinstance(parameter.choices, str) or not isinstance(parameter.choices, Sequence):
            return f"card: the choices of {name} are {parameter.choices!r:.80}, expected a tuple"
        if not all(bound is None or isinstance(bound, numbers.Real) for bound in (parameter.low, parameter.high)):
            return f"card: {name} lies between {parameter.low!r} and {parameter.high!r}, expected numbers or None"
    return ""


def are_legal(strategy: HasCard, parameters: Mapping[str, Any]) -> bool:
    """Return True if a rerun takes these parameters of a strategy."""
    try:
        check_parameters(strategy, parameters)
    except RecipeError:
        return False
    return True


def _comment(line: str) -> str:
    """One printable line: names come from folders, and a line break in one would end the comment."""
    return "".join(c if c.isprintable() else "?" for c in line)
