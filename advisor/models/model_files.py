"""The files of a saved model: `model.json`, `model.safetensors` and an ensemble's list of members, written and checked.

In: descriptions and tensors. Out: files that are replaced atomically; and, read back, values checked like a recipe's: a
field that is missing, of a wrong type or out of range is one line with its name.
Does NOT cover: what the fields mean to a network (`predictor`), pretrained weights (`tensor_files`).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from advisor import errors
from advisor.errors import InputError, OutputError, WeightsError, one_line
from advisor.metrics import neighbours, stored_decision
from advisor.metrics.novelty import NoveltyIndex
from advisor.records.objective import DecisionRule
from advisor.records.settings import TEMPERATURE_RULE, TEMPERATURES
from advisor.runtime import atomic_file, json_records
from advisor.runtime.run_dir import NOVELTY

if TYPE_CHECKING:
    import torch

SCHEMA = 1
ENSEMBLE = "ensemble.json"
ENSEMBLE_FOLDER = "ensemble"  # in a run directory
MOST_PX = 4096  # a recipe's limit too
_CAN_BE_ABSENT = ("mirror", "value_range", "network_px")  # written only where they say something
FieldRule = tuple[str, Callable[[Any], bool]]


def _number(low: float, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low < value < high


def _temperature(value: Any) -> bool:
    return _number(0.0)(value) and TEMPERATURES[0] <= value <= TEMPERATURES[1]


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _classes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_text, value)) and len(set(value)) == len(value)


def _hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _three(each: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == 3 and all(map(each, value))


def _rising(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_number(-math.inf), value)) and value[0] < value[1]


def _one_of(*names: str) -> FieldRule:
    return f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names


_PX: FieldRule = f"a whole number from 1 to {MOST_PX}", _whole(1, MOST_PX)
_FIELDS: Mapping[str, FieldRule] = {
    "classes": ("a list of different class names", _classes),
    "backbone": ("a name", _text),
    "layers": ('"last", "all" or a stage', _text),
    "mirror": ("true or false", lambda value: isinstance(value, bool)),
    "head": ("the name of a head", _text),  # which there are, `predictor` knows: heads need torch
    "preprocess": ("an object", lambda value: isinstance(value, dict)),
    "temperature": (TEMPERATURE_RULE, _temperature),
    "weights_sha256": ("64 hexadecimal digits", _hash),
}
_PREPROCESS: Mapping[str, FieldRule] = {
    "size_px": _PX,
    "resize_px": _PX,
    "network_px": _PX,
    "interpolation": _one_of("nearest", "bilinear", "bicubic"),
    "fit": _one_of("crop", "squash", "pad"),
    "mean": ("three numbers", _three(_number(-math.inf))),
    "std": ("three numbers above 0", _three(_number(0.0))),
    "value_range": ("two rising numbers", _rising),
}


def write(path: Path, writer: Callable[[Path], Any]) -> None:
    """Call `writer` with a temporary name, flush the file to the disk, and rename it to `path`.

    Raises OutputError if that fails; an existing file is then left as it was.
    """
    try:
        with atomic_file.replacing(path) as temporary:
            writer(temporary)
    except Exception as error:  # safetensors reports a full disk with an error type of its own
        raise OutputError(
            f"{path} cannot be written: {one_line(error)}.", hint="Free some space, or write into another folder."
        ) from error


def fail(path: Path, field: str, expected: str, value: Any) -> NoReturn:
    """Raise InputError for a field of a description, with what was expected and what is there."""
    text = json.dumps(value)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    raise InputError(f"{path}: {field}: expected {expected}, got {shown}.", hint="Copy the file from the run again.")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write contiguous tensors that share no memory. Raises OutputError."""
    import safetensors.torch

    write(path, lambda p: safetensors.torch.save_file(dict(tensors), p))


def write_description(path: Path, description: Mapping[str, Any]) -> None:
    """Write indented JSON. Raises OutputError."""
    text = atomic_file.json_text(description, indent=1) + "\n"
    write(path, lambda p: p.write_text(text, encoding="utf-8"))


def read_description(path: Path) -> dict[str, Any]:
    """Read `model.json` and check every field that a model needs.

    Raises InputError with the field at fault, what was expected and what is there.
    """
    try:
        description = json_records.plain(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except FileNotFoundError:
        hint = errors.nearest_run(path.parent, path.name, "Name the directory of a run that has finished.")
        raise InputError(f"{path.parent} holds no {path.name}.", hint=hint) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}.") from error
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        raise InputError(
            f"{path} is not a model description of schema {SCHEMA}.",
            hint="Another version of tl-advise may have written it.",
        )
    _check(path, description, _FIELDS, "")
    _check(path, description["preprocess"], _PREPROCESS, "preprocess.")
    stored_decision.read(path, description.get("decision"), len(description["classes"]))
    return description


def add_decision(folder: Path, rule: DecisionRule) -> None:
    """Write a decision rule into `model.json`, unless it takes the most probable class. Raises InputError, OutputError."""
    if rule != DecisionRule():
        path = folder / "model.json"
        write_description(path, {**read_description(path), "decision": asdict(rule)})


def _check(path: Path, values: Mapping[str, Any], rules: Mapping[str, FieldRule], prefix: str) -> None:
    for name, (expected, holds) in rules.items():
        if name not in values:
            if name in _CAN_BE_ABSENT:
                continue
            raise InputError(f"{path}: {prefix}{name} is missing.", hint="Copy the file from the run again.")
        if not holds(values[name]):
            fail(path, f"{prefix}{name}", expected, values[name])


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read all tensors. Raises InputError if the file is missing, WeightsError if it is damaged."""
    import safetensors
    import safetensors.torch

    try:
        tensors: dict[str, torch.Tensor] = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing.", hint="Copy it from the run again.") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} is damaged: {one_line(error)}.", hint="Copy it from the run again.") from error
    return tensors


def copy_model(folder: Path, staged: Path, rule: DecisionRule) -> None:
    """Copy a model, with the decision rule in its description where the most probable class is not the answer."""
    for name in ("model.safetensors", "model.json"):
        shutil.copyfile(folder / name, staged / name)
    add_decision(staged, rule)


def write_novelty(folder: Path, index: NoveltyIndex, name: str = "model") -> None:
    """Write the index of training images beside the model `name`, and name the file in its description.

    Raises OutputError.
    """
    import safetensors.numpy

    arrays = {"bank": index.bank_ND.astype(np.float16), "known": index.known_R, "held_out": index.held_out_M}
    arrays |= {"held_out_groups": index.group_M} if len(index.group_M) else {}
    contiguous = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    write(folder / NOVELTY, lambda path: safetensors.numpy.save_file(contiguous, path))
    description = read_description(folder / f"{name}.json")
    write_description(folder / f"{name}.json", {**description, "unlike": {"file": NOVELTY, "neighbours": index.k}})


def copy_novelty(source: Path, folder: Path, name: str = "model") -> None:
    """Copy the index beside the model in `source` to the model `name` in `folder`. Raises OutputError."""
    unlike = read_description(source / "model.json")["unlike"]
    write(folder / NOVELTY, lambda path: shutil.copyfile(source / NOVELTY, path))
    write_description(folder / f"{name}.json", {**read_description(folder / f"{name}.json"), "unlike": unlike})


def read_novelty(folder: Path, description: Mapping[str, Any], width: int) -> NoveltyIndex | None:
    """Read the index that a model's description names; None where it names none, or the file is not there.

    `width` is the number of features that the model compares. Raises WeightsError if the file is damaged, or another model's.
    """
    named = description.get("unlike")
    if not isinstance(named, dict) or not (folder / NOVELTY).is_file():
        return None
    tensors = read_tensors(folder / NOVELTY)
    try:
        bank_ND, known_R, held_out_M = (tensors[key].float().numpy() for key in ("bank", "known", "held_out"))
        group_M = tensors["held_out_groups"].long().numpy() if "held_out_groups" in tensors else np.zeros(0, np.int64)
        one_each = known_R.ndim == held_out_M.ndim == 1 and group_M.shape in ((0,), held_out_M.shape)
        if bank_ND.ndim != 2 or not bank_ND.size or not known_R.size or not one_each:
            raise ValueError("its arrays have other shapes")
        if not all(np.isfinite(array).all() for array in (bank_ND, known_R, held_out_M)):
            raise ValueError("it holds values that are not finite")
        if bank_ND.shape[1] != width:
            raise ValueError(f"it compares {bank_ND.shape[1]} features, this model has {width}")
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{folder / NOVELTY} is damaged: {one_line(error)}.", hint="Copy it from the run again, or remove it."
        ) from error
    if not _whole(1, 2**31)(named.get("neighbours")):
        fail(folder / "model.json", "unlike.neighbours", "a whole number above 0", named.get("neighbours"))
    return NoveltyIndex(
        bank_ND=neighbours.unit(bank_ND), known_R=known_R, held_out_M=held_out_M, group_M=group_M, k=named["neighbours"]
    )


def write_ensemble(folder: Path, models: Sequence[Path], extra: Mapping[str, Any]) -> None:
    """Copy the members' files out of their folders, as model-0 and so on; `extra` adds fields to the description.

    All members take the squares of the first one, so that an image is decoded once; a network of another input size resizes
    them itself. The description is written last, so that a folder that has one is complete. Raises InputError, OutputError.
    """
    shared = read_description(models[0] / "model.json")["preprocess"]
    for number, model in enumerate(models):
        source = model / "model.safetensors"
        write(folder / f"model-{number}.safetensors", lambda to, source=source: shutil.copyfile(source, to))  # type: ignore[misc]
        description = read_description(model / "model.json")
        description["preprocess"] = _with_squares_of(shared, description["preprocess"])
        write_description(folder / f"model-{number}.json", description)
    members = [f"model-{number}" for number in range(len(models))]
    write_description(folder / ENSEMBLE, {"schema": SCHEMA, "members": members, **extra})


def _with_squares_of(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a member's preprocessing with the squares of the first member, and what its network makes of them."""
    other = {} if own["size_px"] == shared["size_px"] else {"network_px": own["size_px"]}
    return {**shared, "mean": own["mean"], "std": own["std"], **other}


def copy_ensemble(folder: Path, to: Path, extra: Mapping[str, Any]) -> None:
    """Copy an ensemble's files; `extra` adds fields to its description."""
    for name in read_ensemble(folder):
        for suffix in ("safetensors", "json"):
            shutil.copyfile(folder / f"{name}.{suffix}", to / f"{name}.{suffix}")
    if (folder / NOVELTY).is_file():
        shutil.copyfile(folder / NOVELTY, to / NOVELTY)
    description = json_records.plain((folder / ENSEMBLE).read_text(encoding="utf-8"))
    write_description(to / ENSEMBLE, {**description, **extra})


def read_ensemble_decision(folder: Path, classes: int) -> DecisionRule:
    """Read how an ensemble's probabilities become a class; call `read_ensemble` first. Raises InputError."""
    stored = json_records.plain((folder / ENSEMBLE).read_text(encoding="utf-8")).get("decision")
    return stored_decision.read(folder / ENSEMBLE, stored, classes)


def read_ensemble(folder: Path) -> tuple[str, ...]:
    """List the file stems of an ensemble's members. Raises InputError if there is none or it cannot be read."""
    path = folder / ENSEMBLE
    try:
        members = json_records.plain(path.read_text(encoding="utf-8"))["members"]
    except FileNotFoundError:
        usual = "One is made below 5,000 images where other networks are not far behind the best; use the single model."
        hint = errors.nearest_run(folder.parent, f"{folder.name}/{ENSEMBLE}", usual)
        raise InputError(f"{folder.parent} holds no ensemble.", hint=hint) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}.") from error
    expected = [f"model-{number}" for number in range(len(members))] if isinstance(members, list) else None
    if not members or members != expected:
        raise InputError(f"{path}: members: expected model-0, model-1, ... .", hint="Copy the folder from the run.")
    return tuple(members)
