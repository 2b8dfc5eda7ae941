"""The speeds that a search measured, on disk, so that a resumed search predicts as the interrupted one did.

In: a run directory, what it runs on. Out: `MeasuredSpeeds`; none where the file is missing or damaged, or of another machine,
device or number of threads, whose readings say nothing here. Does NOT cover: measuring (`search_run`, `pace`, `probes`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from advisor.errors import InputError
from advisor.records.result import Environment
from advisor.runtime.run_dir import RunDir
from advisor.tuning.budget import MeasuredSpeeds

FILE = "speeds.json"


@dataclass(frozen=True, kw_only=True)
class StoredSpeeds:
    """Measured speeds, and in words on what they were measured."""

    machine: str
    speeds: MeasuredSpeeds


def machine(environment: Environment) -> str:
    """Describe what speeds depend on: device, its model, threads, precision."""
    return f"{environment.device} {environment.model} {environment.threads} {environment.precision}"


def write(rundir: RunDir, on: str, speeds: MeasuredSpeeds) -> None:
    """Write the speeds down, atomically."""
    rundir.write(FILE, StoredSpeeds(machine=on, speeds=speeds))


def read(rundir: RunDir, on: str) -> MeasuredSpeeds:
    """Return what an earlier process of this run measured on this machine, without its last slowdown.

    Readings and `first_contention` stay: both are as of the first probe. How busy the machine was before a pause says nothing
    about now: `slowdown` is 1.0 again, and measured anew against the same first probe.
    """
    try:
        stored = rundir.read(FILE, StoredSpeeds)
    except (InputError, OSError):  # damaged: what it saved is measured again
        return MeasuredSpeeds()
    if stored is None or stored.machine != on or not _is_positive(asdict(stored.speeds)):
        return MeasuredSpeeds()
    return replace(stored.speeds, slowdown=1.0)


def _is_positive(value: object) -> bool:
    """Return True if every number is finite and not below 0, and every ratio above 0: predictions divide by them."""
    if isinstance(value, dict):
        return all(_is_positive(v) and (name != "ratio" or v > 0) for name, v in value.items())
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0
