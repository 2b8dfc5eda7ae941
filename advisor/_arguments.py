"""Arguments of the Python interface -> what the packages take. Does NOT cover: the interface itself (`advisor`)."""

from __future__ import annotations

import math
import numbers
import operator
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor import plugin_loading
from advisor.aliases import NamedProgress
from advisor.errors import InputError
from advisor.records import Settings
from advisor.records.data import ReadOptions
from advisor.runtime import device

if TYPE_CHECKING:
    from advisor.workflows.session import Session

PathArgument = str | PathLike[str]
DEFAULT_BUDGET_S = 900.0
SESSION = ("backbone", "size", "seed", "threads", "device", "weights_dir", "offline", "block")
SIZES_PX = range(16, 2049)  # as `--size`
MOST_SEED = 2**63  # a recipe holds smaller ones
_NAMES = {"budget_s": "budget", "size_px": "size", "devices": "gpus", "plugins_blocked": "block"}  # field -> argument
_ABOVE_ZERO = ("budget_s", "trials", "size_px", "threads", "workers", "devices", "ray_actors", "max_pixels")


def seconds(budget: str | float | None, trials: int | None) -> float | None:
    """Return the budget in seconds: as given, else 15 minutes, none where only a number of trials was given."""
    from advisor.runtime import durations

    if budget is None:
        return None if trials is not None else DEFAULT_BUDGET_S
    return durations.parse(budget) if isinstance(budget, str) else budget


def names(argument: str | Iterable[str]) -> tuple[str, ...]:
    """Return names as a tuple: a single string is one name."""
    return (argument,) if isinstance(argument, str) else tuple(argument)


def reading(fields: Mapping[str, Any]) -> ReadOptions:
    """Return how data are read, from fields of `ReadOptions`. Raises InputError for a value of a wrong type."""
    return ReadOptions(**typed(fields, ReadOptions))


def typed(fields: Mapping[str, Any], record: type[Any]) -> dict[str, Any]:
    """Return the fields of a record as its types say: NumPy's numbers as Python's, one name as a tuple of it.

    Raises InputError for a value that cannot stand there, such as a seed that is text: a run would fail with it later.
    """
    types = {"offline": "bool"}  # also an option where no record has it
    types |= {name: str(field.type) for name, field in record.__dataclass_fields__.items()}
    return {name: _typed(name, value, types.get(name, "")) for name, value in fields.items()}


def count(name: str, value: Any) -> int:
    """Return a whole number above 0. Raises InputError for anything else."""
    number: int = _typed(name, value, "int")
    if number < 1:
        raise InputError(f"{name}: expected at least 1, got {number}.")
    return number


def _typed(name: str, value: Any, kind: str) -> Any:
    kind, _, optional = kind.partition(" | ")
    if value is None and optional:
        return None
    shown = _NAMES.get(name, name)
    try:
        if isinstance(value, bool) and kind in ("int", "float"):
            raise TypeError
        if kind == "int":
            value = operator.index(value)
        elif kind == "float":
            value = _number(value)
        elif kind == "bool":
            value = _truth(value)
        elif kind == "str":
            value = os.fspath(value)
        elif kind == "tuple[str, ...]":
            value = tuple(os.fspath(each) for each in names(os.fspath(value) if isinstance(value, PathLike) else value))
    except (TypeError, ValueError):
        expected = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "text"}.get(
            kind, "a list of names"
        )
        raise InputError(f"{shown}: expected {expected}, got {value!r}.", hint="See help(advisor.advise).") from None
    if name in _ABOVE_ZERO and value <= 0:
        raise InputError(f"{shown}: expected more than 0, got {value!r}.", hint="See help(advisor.advise).")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise TypeError
    return float(value)


def callback(progress: Any) -> NamedProgress | None:
    """Return a function that takes progress, None where there is none. Raises InputError for what cannot be called."""
    if progress is None or callable(progress):
        checked: NamedProgress | None = progress
        return checked
    raise InputError(f"progress: expected a function of (what, done, total), got {progress!r}.")


def plugins(blocked: Any) -> tuple[str, ...]:
    """Return the names of plugins that are not to be loaded. Raises PluginError for one that is not installed."""
    checked: tuple[str, ...] = _typed("plugins_blocked", blocked, "tuple[str, ...]")
    plugin_loading.check_installed(checked)
    return checked


def _truth(value: Any) -> bool:
    if isinstance(value, str) or value not in (True, False):  # the text "no" would mean yes
        raise TypeError
    return bool(value)


def flag(name: str, value: Any) -> bool:
    """Return True or False. Raises InputError for anything else, such as text."""
    checked: bool = _typed(name, value, "bool")
    return checked


def settings(data: PathArgument, **fields: Any) -> Settings:
    """Return the settings of a run on `data`; fields of `ReadOptions` (`val`, `label_column`, ...) say how it is read.

    Raises InputError for what is no path, a field that neither has, and a seed that no recipe can hold.
    """
    if "target" in fields:
        raise InputError("advise() does not adapt.", hint="Call advisor.adapt(path, target).")
    from advisor.data.remote import urls

    data = written(data)
    read = {name: fields.pop(name) for name in ReadOptions.__dataclass_fields__ if name in fields}
    if read:
        fields["reading"] = replace(fields.get("reading", ReadOptions()), **typed(read, ReadOptions))
    unknown = sorted(set(fields) - set(Settings.__dataclass_fields__))
    if unknown:
        raise InputError(f"advise() has no option {unknown[0]!r}.", hint="See help(advisor.advise).")
    fields = typed(fields, Settings)
    plugin_loading.check_installed(fields.get("plugins_blocked", ()))
    device.check_name(fields.get("device") or "auto")
    if fields.get("size_px") is not None and fields["size_px"] not in SIZES_PX:
        raise InputError(f"size {fields['size_px']}: expected {SIZES_PX[0]} to {SIZES_PX[-1]} pixels.")
    if not 0 <= fields.get("seed", 0) < MOST_SEED:
        raise InputError(f"seed {fields['seed']}: expected 0 to 2^63 - 1, which a recipe can hold.")
    command = shlex.join(["tl-advise", urls.public(data)])
    return Settings(data=data, command=command, **fields)


def stored(storage: str | None, study: str) -> dict[str, str]:
    """Return where the study is kept: nothing where it is in the run directory. Raises InputError for a name without one."""
    if storage is None:
        if study:
            raise InputError(f"study {study!r}: needs a database.", hint="Add storage=URL, or leave study out.")
        return {}
    from advisor.tuning.trials import storage as databases

    return {"storage": databases.public(databases.address(storage) or ""), "study": study}


def session(
    data: PathArgument, options: Mapping[str, Any], progress: NamedProgress | None
) -> tuple[Session, NamedProgress]:
    """Open a data set for one backbone. Raises InputError for an unknown option, AdviseError where it cannot be read."""
    from advisor.data.remote import urls
    from advisor.workflows.session import open_session, report_nothing

    run = single(data, options, also=tuple(ReadOptions.__dataclass_fields__))
    urls.check_exists(data)
    report = callback(progress) or report_nothing
    return open_session(run, report=report), report


def single(data: PathArgument, options: Mapping[str, Any], *, also: tuple[str, ...] = ()) -> Settings:
    """Return the settings of a call for one network; `also` names further options. Raises InputError for an unknown one."""
    allowed = tuple(dict.fromkeys((*SESSION, *also)))
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise InputError(f"there is no option {unknown[0]!r}.", hint=f"Options are {', '.join(allowed)}.")
    backbone = options.get("backbone")
    return settings(
        data,
        budget_s=None,
        seed=options.get("seed", 0),
        size_px=options.get("size"),
        threads=options.get("threads"),
        device=options.get("device", "auto"),
        backbones=(backbone,) if backbone else (),
        weights_dir=text(options.get("weights_dir")),
        offline=options.get("offline", False),
        max_ms=options.get("max_ms"),
        max_mb=options.get("max_mb"),
        plugins_blocked=options.get("block", ()),
        reading=reading({n: options[n] for n in ReadOptions.__dataclass_fields__ if n in options}),
    )


def written(argument: Any) -> str:
    """Return a path as text. Raises InputError for what is no path, bytes included."""
    name = os.fspath(argument) if isinstance(argument, PathLike) else argument
    if not isinstance(name, str):
        raise InputError(f"expected a path (text or pathlib.Path), got {argument!r}.", hint="See help(advisor).")
    return name


def text(argument: PathArgument | None) -> str | None:
    """Return a path as text, None where it is missing."""
    return None if argument is None else written(argument)


def path(argument: PathArgument) -> Path:
    """Return an argument as a path."""
    return Path(written(argument))


def optional(argument: PathArgument | None) -> Path | None:
    """Return an argument as a path, None where it is missing."""
    return None if argument is None else path(argument)


def folder(run: PathArgument) -> Path:
    """Return a run directory, of which `run` may also be a file; what does not exist as it is, so that the error names it."""
    run_path = path(run)
    return run_path.parent if os.path.isfile(run_path) else run_path
