"""Arguments of the Python interface -> what the packages take. Does NOT cover: the interface itself (`advisor`)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
MOST_SEED = 2**63  # a recipe holds smaller ones


def seconds(budget: str | float | None, trials: int | None) -> float | None:
    """Return the budget in seconds: as given, else 15 minutes, none where only a number of trials was given."""
    from advisor.runtime import durations

    if budget is None:
        return None if trials is not None else DEFAULT_BUDGET_S
    return durations.parse(budget) if isinstance(budget, str) else float(budget)


def settings(data: PathArgument, **fields: Any) -> Settings:
    """Return the settings of a run on `data`; fields of `ReadOptions` (`val`, `label_column`, ...) say how it is read.

    Raises InputError for a field that neither has, and for a seed that no recipe can hold.
    """
    if "target" in fields:
        raise InputError("advise() does not adapt.", hint="Call advisor.adapt(path, target).")
    from advisor.data.remote import urls

    read = {name: fields.pop(name) for name in ReadOptions.__dataclass_fields__ if name in fields}
    if read:
        fields["reading"] = replace(fields.get("reading", ReadOptions()), **read)
    unknown = sorted(set(fields) - set(Settings.__dataclass_fields__))
    if unknown:
        raise InputError(f"advise() has no option {unknown[0]!r}.", hint="See help(advisor.advise).")
    device.check_name(fields.get("device") or "auto")
    if not 0 <= fields.get("seed", 0) < MOST_SEED:
        raise InputError(f"seed {fields['seed']}: expected 0 to 2^63 - 1, which a recipe can hold.")
    command = shlex.join(["tl-advise", urls.public(data)])
    return Settings(data=os.fspath(data), command=command, **fields)


def stored(storage: str | None, study: str) -> dict[str, str]:
    """Return where the study is kept: nothing where it is in the run directory."""
    if storage is None:
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
    report = progress or report_nothing
    return open_session(run, report=report), report


def single(data: PathArgument, options: Mapping[str, Any], *, also: tuple[str, ...] = ()) -> Settings:
    """Return the settings of a call for one network; `also` names further options. Raises InputError for an unknown one."""
    names = (*SESSION, *also)
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise InputError(f"there is no option {unknown[0]!r}.", hint=f"Options are {', '.join(names)}.")
    backbone = options.get("backbone")
    return settings(
        data,
        budget_s=None,
        seed=int(options.get("seed", 0)),
        size_px=options.get("size"),
        threads=options.get("threads"),
        device=options.get("device", "auto"),
        backbones=(backbone,) if backbone else (),
        weights_dir=text(options.get("weights_dir")),
        offline=bool(options.get("offline", False)),
        max_ms=options.get("max_ms"),
        max_mb=options.get("max_mb"),
        plugins_blocked=tuple(options.get("block", ())),
        reading=replace(ReadOptions(), **{n: options[n] for n in ReadOptions.__dataclass_fields__ if n in options}),
    )


def text(argument: PathArgument | None) -> str | None:
    """Return a path as text, None where it is missing."""
    return None if argument is None else os.fspath(argument)


def path(argument: PathArgument) -> Path:
    """Return an argument as a path."""
    return Path(argument)


def optional(argument: PathArgument | None) -> Path | None:
    """Return an argument as a path, None where it is missing."""
    return None if argument is None else Path(argument)


def folder(run: PathArgument) -> Path:
    """Return a run directory, of which `run` may also be a file."""
    run_path = Path(run)
    return run_path if os.path.isdir(run) else run_path.parent
