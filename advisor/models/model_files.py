"""The two files of a saved model, read strictly and written whole: `model.safetensors` and `model.json`; an ensemble's.

Does not cover what they mean (`model`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.errors import InputError, OutputError, WeightsError

if TYPE_CHECKING:
    import torch

SCHEMA = 1
ENSEMBLE = "ensemble.json"
ENSEMBLE_FOLDER = "ensemble"  # in a run directory
_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "classes": list,
    "backbone": str,
    "layers": str,
    "head": str,
    "preprocess": dict,
    "temperature": (int, float),
    "weights_sha256": str,
}
_PREPROCESS: Mapping[str, type] = {
    "size_px": int,
    "resize_px": int,
    "interpolation": str,
    "fit": str,
    "mean": list,
    "std": list,
}


def write(path: Path, writer: Callable[[Path], Any]) -> None:
    """Let `writer` write to a temporary name, flush it to the disk, and rename it to `path`.

    Raises OutputError where that fails; then what stood there before still stands.
    """
    waiting = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        writer(waiting)
        with open(waiting, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(waiting, path)
    except Exception as error:  # safetensors tells of a full disk with an error of its own
        waiting.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error}.", hint="Choose another --out, or free space.") from error


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write contiguous tensors that share no memory."""
    import safetensors.torch

    write(path, lambda p: safetensors.torch.save_file(dict(tensors), p))


def write_description(path: Path, description: Mapping[str, Any]) -> None:
    """Write readable JSON."""
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    write(path, lambda p: p.write_text(text, encoding="utf-8", errors="surrogateescape"))


def read_description(path: Path) -> dict[str, Any]:
    """Read `model.json` and check the fields that a model needs. Raises InputError with the field at fault."""
    try:
        description = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} holds no {path.name}.", hint="Name the directory of a run that has finished."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        raise InputError(f"{path} is no model description of schema {SCHEMA}.", hint="Which version wrote it?")
    _check(path, description, _FIELDS, "")
    _check(path, description["preprocess"], _PREPROCESS, "preprocess.")
    return description


def _check(path: Path, given: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    for name, kind in wanted.items():
        if name not in given:
            raise InputError(f"{path}: {where}{name} is missing.")
        if not isinstance(given[name], kind):
            raise InputError(f"{path}: {where}{name} has the wrong type: {given[name]!r}.")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read all tensors. Raises InputError where the file is missing, WeightsError where it is damaged."""
    import safetensors
    import safetensors.torch

    try:
        found: dict[str, torch.Tensor] = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing.") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} is damaged: {error}.", hint="Copy it from the run again.") from error
    return found


def write_ensemble(folder: Path, models: Sequence[Path], told: Mapping[str, Any]) -> None:
    """Copy the members' files out of their folders, as model-0 and so on; `told` is put beside the list of them.

    The description comes last: where it is, everything is. Raises OutputError where it cannot be written.
    """
    for number, place in enumerate(models):
        for suffix in ("safetensors", "json"):
            source = place / f"model.{suffix}"
            write(folder / f"model-{number}.{suffix}", lambda to, source=source: shutil.copyfile(source, to))  # type: ignore[misc]
    members = [f"model-{number}" for number in range(len(models))]
    write_description(folder / ENSEMBLE, {"schema": SCHEMA, "members": members, **told})


def copy_ensemble(folder: Path, to: Path, told: Mapping[str, Any]) -> None:
    """Copy an ensemble's files, `told` added to its description."""
    for name in read_ensemble(folder):
        for suffix in ("safetensors", "json"):
            shutil.copyfile(folder / f"{name}.{suffix}", to / f"{name}.{suffix}")
    description = json.loads((folder / ENSEMBLE).read_text(encoding="utf-8"))
    write_description(to / ENSEMBLE, {**description, **told})


def read_ensemble(folder: Path) -> tuple[str, ...]:
    """List the names of an ensemble's members. Raises InputError where there is none, or it cannot be read."""
    path = folder / ENSEMBLE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return tuple(str(name) for name in told["members"])
    except FileNotFoundError:
        raise InputError(
            f"{folder.parent} holds no ensemble.",
            hint="One is offered below 500 images where several leaders do better together; use the single model.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
