"""The interface of a tracker, and the trackers that there are.

A tracker is a module in `tracking.trackers`, named as `--log` names it, with `PACKAGE` (the module that it needs) and
`start(run, identity)`, which returns a `Tracker`. It may import its package in functions only, and may fail anywhere: the
run goes on without it (`tracking.relay`). Does NOT cover: which values are logged (`tracking.values`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from advisor.errors import InputError
from advisor.records import Trial
from advisor.tracking import trackers


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """The run to be logged: its name, its folder, its options as plain values; `offline` forbids the internet."""

    name: str
    folder: Path
    options: Mapping[str, Any]
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class LoggedOutcome:
    """How a run ended: `state` is "finished", "stopped" or "failed"; scores by name, the verdict in words, files."""

    state: str
    scores: Mapping[str, float]
    verdict: str
    files: tuple[Path, ...]


class Tracker(Protocol):
    """An open log. All methods are called from one thread, one after another."""

    @property
    def identity(self) -> str:
        """What identifies this log to the tracker, so that a resumed run continues it; "" where nothing does."""

    @property
    def address(self) -> str:
        """Where a person finds the log: a path, an address or a command."""

    def data(self, facts: Mapping[str, Any]) -> None:
        """Log what was measured of the data set."""

    def trial(self, trial: Trial) -> None:
        """Log a trial or probe that ended: parameters, scores, curve."""

    def end(self, outcome: LoggedOutcome) -> None:
        """Log the outcome and close the log."""


def names() -> list[str]:
    """List the trackers, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(trackers.__path__))


def check(requested: Iterable[str]) -> None:
    """Raise InputError where a tracker is unknown or its package is not installed; nothing is imported."""
    for name in requested:
        if name not in names():
            raise InputError(f"--log {name}: unknown tracker.", hint=f"Choose from {', '.join(names())}.")
        package = importlib.import_module(f"{trackers.__name__}.{name}").PACKAGE
        if find_spec(package) is None:
            hint = f"Run `pip install 'tl-advise[{name}]'`."
            raise InputError(f"--log {name}: the package {package} is not installed.", hint=hint)


def start(name: str, run: TrackedRun, identity: str) -> Tracker:
    """Open a log, or continue the one of this identity. Raises whatever the tracker raises."""
    tracker: Tracker = importlib.import_module(f"{trackers.__name__}.{name}").start(run, identity)
    return tracker
