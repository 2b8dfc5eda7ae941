"""Durations as people write and read them: "10m" to seconds and back."""

from __future__ import annotations

import re

from advisor.errors import InputError

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
