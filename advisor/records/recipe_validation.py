"""What a recipe's values must be: types by msgspec, names with "did you mean", ranges by a table; a fault is one line.

Plain values -> records and back, and the words of the errors: `path: expected this, got that`. Raises ValueError, which
`recipe_file` turns into a RecipeError. Does NOT cover: whether the recipe fits this machine or data set.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar

from advisor.records.settings import PROCEDURE, TEMPERATURE_RULE, TEMPERATURES

if TYPE_CHECKING:
    from advisor.records.objective import DecisionRule
    from advisor.records.plan import Parameter
    from advisor.records.recipe import Recipe

T = TypeVar("T")

_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "fields (name: value)",
    "null": "null",
}


def convert(raw: Mapping[str, Any], kind: type[T]) -> T:
    """Turn plain values into the record `kind`, nested records included, without bending any type.

    Raises ValueError, `path: expected …, got …`.
    """
    import msgspec

    for path, name, names in _unknown_fields(raw, kind, ""):
        raise ValueError(unknown(path, name, names, "a recipe" if "." not in path else path.rpartition(".")[0]))
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(_translate(str(error), raw)) from None


def plain(record: Any) -> Any:
    """Turn a record into dicts, lists and scalars, fields in the order of their declaration."""
    if dataclasses.is_dataclass(record):
        return {f.name: plain(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {key: plain(value) for key, value in record.items()}
    if isinstance(record, tuple | list):
        return [plain(value) for value in record]
    return record


def unknown(path: str, name: str, names: Sequence[str], owner: str) -> str:
    """Return the words for an unknown field, and which one may have been meant."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f', did you mean "{near[0]}"?' if near else f" (it has {', '.join(names)})" if names else ""
    return f"{path}: unknown field of {owner}{guess}"


def show(value: Any) -> str:
    """Show a value as it stands in the file, short."""
    if isinstance(value, Mapping):
        return "fields (name: value)"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:56] + ' …"'


def expected(parameter: Parameter, value: Any) -> str:
    """Return what a strategy's parameter should have been, or "" where the value is legal."""
    if parameter.kind == "choice":
        same = any(type(value) is type(choice) and value == choice for choice in parameter.choices)
        return "" if same else "one of " + ", ".join(show(choice) for choice in parameter.choices)
    whole = parameter.kind == "int"
    low, high = parameter.low, parameter.high
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number:
        sign = " above 0" if low is not None and low > 0 else " of at least 0" if low == 0 else ""
        return f"a {'whole ' if whole else ''}number{sign}"
    if (low is None or value >= low) and (high is None or value <= high):
        return ""
    span = (
        f"from {low:g} to {high:g}"
        if low is not None and high is not None
        else f"of at least {low:g}"
        if high is None
        else f"of at most {high:g}"
    )
    return f"a {'whole ' if whole else ''}number {span}"


def check(recipe: Recipe) -> None:
    """Check every value's range, and that fields which must agree do.

    Raises ValueError, `path: expected …, got …`.
    """
    for path, words, holds in _RANGES:
        value = _at(recipe, path)
        if value is not None and not holds(value):
            raise ValueError(f"{path}: expected {words}, got {show(value)}")
    for path, value in _numbers(plain(recipe), ""):
        if not math.isfinite(value):
            raise ValueError(f"{path}: expected a finite number, got {value}")
    if recipe.decision is not None:
        _check_decision(recipe.decision, len(recipe.data.classes))
    if recipe.backbone.from_scratch != (recipe.backbone.weights is None):
        tensors = (
            "null, since from_scratch is true"
            if recipe.backbone.from_scratch
            else "file and sha256 (or from_scratch: true)"
        )
        raise ValueError(f"backbone.weights: expected {tensors}, got {show(plain(recipe.backbone.weights))}")
    _check_folds(recipe)
    if recipe.plan is not None:
        for name, want in (
            ("steps", recipe.training.steps),
            ("batch", recipe.training.batch),
            ("fit", recipe.input.fit),
        ):
            stated = getattr(recipe.plan, name)
            if stated != want:
                twin = f"input.{name}" if name == "fit" else f"training.{name}"
                raise ValueError(f"plan.{name}: expected {show(want)} as in {twin}, got {show(stated)}")


def _check_folds(recipe: Recipe) -> None:
    """Check that every fold that a recipe names is one of its folds. Raises ValueError."""
    training, validation = recipe.training, recipe.validation
    named = {
        "training.fold": () if training.fold is None else (training.fold,),
        "training.mean_of_folds": training.mean_of_folds or (),
        "validation.scored": validation.scored,
    }
    for path, folds in named.items():
        beyond = [fold for fold in folds if fold >= validation.folds]
        if beyond:
            raise ValueError(f"{path}: expected folds from 0 to {validation.folds - 1}, got {beyond[0]}")


def _check_decision(rule: DecisionRule, classes: int) -> None:
    """Check that a decision rule has a number for every class. Raises ValueError."""
    if rule.weights and len(rule.weights) != classes:
        raise ValueError(f"decision.weights: expected {classes} numbers, one per class, got {show(rule.weights)}")
    if rule.costs and {len(rule.costs), *map(len, rule.costs)} != {classes}:
        raise ValueError(f"decision.costs: expected {classes} rows of {classes} numbers, got {show(rule.costs)}")


def _one_of(*values: str) -> tuple[str, Callable[[Any], bool]]:
    return ("one of " if len(values) > 1 else "") + ", ".join(show(v) for v in values), lambda value: value in values


_SHA = ("64 hexadecimal digits", lambda value: bool(re.fullmatch("[0-9a-f]{64}", value)))
_POSITIVE = ("a number above 0", lambda value: value > 0)
_COUNT = ("a number of at least 0", lambda value: value >= 0)
_COUNTS = ("whole numbers of at least 0", lambda value: all(number >= 0 for number in value))
_SHARE = ("a number from 0 to 1", lambda value: 0 <= value <= 1)
_TEXT = ("a name", lambda value: bool(value.strip()))
_PX = ("a size from 8 to 4096 pixels", lambda value: 8 <= value <= 4096)

_RANGES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("schema", "1 (a newer tl-advise may read it)", lambda value: value == 1),
    ("status", *_one_of("provisional", "final")),
    ("data.fingerprint", *_SHA),
    ("data.images", *_POSITIVE),
    ("data.classes", "at least two names, each once", lambda value: len(value) > 1 and len(set(value)) == len(value)),
    ("data.pool_sample", *_POSITIVE),
    ("data.reading.max_pixels", *_POSITIVE),
    ("data.test_sample", *_POSITIVE),
    ("data.split.rule", *_one_of("given", "cut", "none")),
    ("data.split.fraction", *_SHARE),
    ("data.split.pool", *_COUNT),
    ("data.split.test", *_COUNT),
    ("data.split.list_sha256", *_SHA),
    ("target.fingerprint", *_SHA),
    ("target.images", *_POSITIVE),
    ("teacher.weights_sha256", *_SHA),
    ("teacher.file", "a name without folders", lambda value: bool(re.fullmatch(r"[\w-][\w.-]*", value))),
    ("teacher.file_sha256", *_SHA),
    ("teacher.unlabelled.fingerprint", *_SHA),
    ("teacher.unlabelled.images", *_POSITIVE),
    ("backbone.name", *_TEXT),
    ("backbone.weights.sha256", *_SHA),
    ("backbone.weights.revision", "a commit", lambda value: bool(re.fullmatch(r"[0-9A-Za-z._/-]{0,255}", value))),
    ("input.size_px", *_PX),
    ("input.resize_px", *_PX),
    ("input.interpolation", *_one_of("nearest", "bilinear", "bicubic")),
    ("input.fit", *_one_of("crop", "squash", "pad")),
    ("input.std", "three numbers above 0", lambda value: min(value) > 0),
    ("strategy.name", *_TEXT),
    ("training.steps", *_COUNT),
    ("training.epochs", *_COUNT),
    ("training.batch", *_POSITIVE),
    ("seed", "a whole number from 0 to 2^63 - 1", lambda value: 0 <= value < 2**63),
    ("compute.device", "cpu, cuda or cuda:0 …", lambda value: bool(re.fullmatch(r"cpu|cuda(:\d+)?", value))),
    ("compute.precision", *_one_of("float32", "bfloat16")),
    ("compute.layout", *_one_of("channels_last", "contiguous")),
    ("compute.threads", "a whole number from 1 to 1,024", lambda value: 1 <= value <= 1024),
    ("compute.inference_batch", "a whole number from 1 to 1,024", lambda value: 1 <= value <= 1024),
    ("devices", *_POSITIVE),
    ("experience.runs", *_POSITIVE),
    ("experience.sha256", *_SHA),
    ("training.fold", *_COUNT),
    ("training.mean_of_folds", *_COUNTS),
    ("validation.folds", "a whole number of at least 2", lambda value: value >= 2),
    ("validation.scored", *_COUNTS),
    ("validation.procedure", f"a whole number from 1 to {PROCEDURE}", lambda value: 1 <= value <= PROCEDURE),
    ("fitted.temperature", TEMPERATURE_RULE, lambda value: TEMPERATURES[0] <= value <= TEMPERATURES[1]),
    ("outcome.validation.accuracy", *_SHARE),
    ("outcome.test.accuracy", *_SHARE),
    ("outcome.test.n", *_POSITIVE),
    ("outcome.weights_sha256", *_SHA),
    ("outcome.seconds", *_COUNT),
)


def _at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = getattr(record, name, None)
        if record is None:
            return None
    return record


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{path}[{index}]")


def _unknown_fields(raw: Any, kind: Any, path: str) -> Iterator[tuple[str, str, list[str]]]:
    """Walk values and types side by side: msgspec lets a dataclass ignore what it does not know, a recipe must not."""
    if typing.get_origin(kind) in (typing.Union, UnionType):
        kind = next((k for k in typing.get_args(kind) if dataclasses.is_dataclass(k)), None)
    if typing.get_origin(kind) is tuple and isinstance(raw, list):
        for index, inner in enumerate(raw):
            yield from _unknown_fields(inner, typing.get_args(kind)[0], f"{path}[{index}]")
    if not dataclasses.is_dataclass(kind) or not isinstance(raw, Mapping):
        return
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    for name, inner in raw.items():
        inner_path = f"{path}.{name}" if path else str(name)
        if name not in names:
            yield inner_path, name, names
        else:
            yield from _unknown_fields(inner, hints[name], inner_path)


def _translate(message: str, raw: Any) -> str:
    """Turn msgspec's words, "Expected `float`, got `str` - at `$.a.b`", into ours, path first and the value shown."""
    path = (re.search(r"`\$\.?([^`]*)`$", message) or [None, ""])[1] or ""
    missing = re.match(r"Object missing required field `(\w+)`", message)
    if missing:
        return f"{path}.{missing[1]}".lstrip(".") + ": missing; a recipe needs it"
    match = re.match(r"Expected (?:`([^`]*)`|(.*?)) ?(?:, got (.*?))?(?: - at .*)?$", message)
    if not match:
        return f"{path or 'recipe'}: {message}"
    names = [_WORDS.get(name.strip(), name.strip()) for name in (match[1] or match[2]).split("|")]
    path, value = _resolve(path, raw, (match[3] or "").strip("`"))
    return f"{path}: expected {' or '.join(names)}, got {show(value)}"


def _resolve(path: str, raw: Any, type_name: str) -> tuple[str, Any]:
    """Find the value at msgspec's path; `[...]` is some value of a mapping: the first of the type that it got."""
    where, value = "", raw
    for step in re.findall(r"[^.\[\]]+|\[\.\.\.\]|\[\d+\]", path):
        if step == "[...]":
            key = next((k for k, v in value.items() if _type_name(v) == type_name), next(iter(value), ""))
            where, value = f"{where}.{key}", value.get(key)
        elif step.startswith("["):
            where, value = where + step, value[int(step[1:-1])]
        else:
            where, value = f"{where}.{step}".lstrip("."), value[step]
    return where, value


def _type_name(value: Any) -> str:
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, list):
        return "array"
    return "null" if value is None else type(value).__name__
