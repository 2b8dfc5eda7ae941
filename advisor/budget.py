"""Time: the clock of a run, what is kept back for its end, and what work costs before anybody has measured it.

In: seconds and multiply-adds. Out: whether something may start. No stopwatch decides under `--trials` alone: there the
clock has no end, and everything that must be chosen is chosen from the fixed table below (DESIGN 4.5).
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from advisor.errors import InputError

# Multiply-adds a second that a small network reaches: cards and fixed numbers, so that a choice made from them is the
# same on every machine. Measured with MobileNetV2 in float32 on two cores (67 images/s at 224 px x 0.3 GMACs) and
# rounded; a GPU is taken as a mid-range one. Only orders of magnitude matter here.
MACS_PER_S = {"cpu": 2.0e10, "cuda": 2.0e12}
TRAIN_FACTOR = 3.0  # forward, and backward for activations and for weights
START_S = 8.0  # importing torch and opening the first network, on a slow disk
FINISH_S = 4.0  # writing model, recipe, report
FLOOR_S = START_S + FINISH_S + 8.0  # what the shortest run takes: the above, and one probe and the test on samples

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse(text: str) -> float:
    """Read a duration such as "90", "90s", "10m", "1.5h" or "1h30m" as seconds. Raises InputError."""
    compact = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smh]?)", compact)
    if not parts or "".join(a + b for a, b in parts) != compact:
        raise InputError(f"--budget {text}: expected a duration.", hint='Write it like "90s", "10m" or "1h30m".')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise InputError(f"--budget {text}: expected more than nothing.", hint='Write it like "90s", "10m" or "1h30m".')
    return seconds


def words(seconds: float) -> str:
    """Write a duration for people: 8.1 s, 2 min 5 s, 1 h 2 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


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
    """Give the time.monotonic() at which this process began, so that imports count as well.

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


def extraction_s(images: int, macs: float, device: str) -> float:
    """Predict the seconds of one frozen pass over `images` images, from the card's multiply-adds an image."""
    return images * macs / MACS_PER_S["cuda" if device.startswith("cuda") else "cpu"]


def training_s(images: int, epochs: float, macs: float, device: str, *, trained_share: float = 1.0) -> float:
    """Predict the seconds of training for `epochs`; `trained_share` is the share of the network that is trained."""
    factor = 1.0 + (TRAIN_FACTOR - 1.0) * trained_share
    return epochs * factor * extraction_s(images, macs, device)


def at_size(macs: float | None, default_px: int, size_px: int) -> float:
    """Scale a card's multiply-adds to another input size; an unknown card counts as 1 GMAC."""
    return (macs or 1.0e9) * (size_px / default_px) ** 2


def steps_s(durations_s: Sequence[float], steps: int, *, fills_seen: int = 1, fills: int = 1) -> float:
    """Predict the seconds of `steps` further steps from those that were done.

    A few steps fill a cache and take many times as long as the others: those are told apart from the median, and
    counted by how many fills are still to come. Raises ValueError without any duration.
    """
    if not durations_s:
        raise ValueError("no step was done yet: nothing to predict from")
    usual = statistics.median(durations_s)
    extra = sum(d - usual for d in durations_s if d > 3 * usual)
    return usual * steps + extra * max(0, fills - fills_seen) / max(1, fills_seen)


@dataclass
class Speed:
    """What was measured against what the cards predict: a running ratio of seconds, 1.0 before the first reading."""

    ratio: float = 1.0
    readings: int = 0

    def learn(self, predicted_s: float, taken_s: float) -> None:
        """Take a reading in: the mean of the first two, then an exponential average."""
        if predicted_s <= 0 or taken_s <= 0:
            return
        fresh = taken_s / predicted_s
        weight = 1.0 if self.readings == 0 else 0.5
        self.ratio += weight * (fresh - self.ratio)
        self.readings += 1


@dataclass
class Speeds:
    """Readings by name (of a backbone): the same multiply-adds take one network ten times as long as another."""

    by_name: dict[str, Speed] = field(default_factory=dict)

    def known(self, name: str) -> bool:
        """Whether there is a reading of this name."""
        return name in self.by_name

    def ratio(self, name: str) -> float:
        """Give a name's ratio; one that was not measured is taken for the mean of those that were, or 1.0."""
        if name in self.by_name:
            return self.by_name[name].ratio
        return statistics.fmean(s.ratio for s in self.by_name.values()) if self.by_name else 1.0

    def learn(self, name: str, predicted_s: float, taken_s: float) -> None:
        """Take a reading in."""
        if predicted_s > 0 and taken_s > 0:
            self.by_name.setdefault(name, Speed()).learn(predicted_s, taken_s)
