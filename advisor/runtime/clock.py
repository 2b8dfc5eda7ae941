"""The clock of a run, over all of its processes: seconds used and left of a budget."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """The time of one run, over all of its processes. `asked_s` is None where only an amount of work was asked for."""

    asked_s: float | None
    used_before_s: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def used_s(self) -> float:
        """Seconds spent on this run so far, earlier processes included."""
        return self.used_before_s + time.monotonic() - self.started

    @property
    def left_s(self) -> float:
        """Seconds until the budget ends; infinite where there is no end."""
        return float("inf") if self.asked_s is None else self.asked_s - self.used_s


def process_start() -> float:
    """Return the time.monotonic() at which this process began, so that imports count as well.

    Falls back to now where the platform does not say.
    """
    try:
        with open("/proc/self/stat", encoding="ascii") as stat, open("/proc/uptime", encoding="ascii") as uptime:
            ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
            age = float(uptime.read().split()[0]) - ticks / _ticks_per_s()
        return time.monotonic() - max(0.0, age)
    except (OSError, ValueError, IndexError):
        return time.monotonic()


def _ticks_per_s() -> int:
    import os

    return os.sysconf("SC_CLK_TCK")
