"""Durations as people write and read them: text such as "10m" to seconds, seconds to text."""

from __future__ import annotations

import re

from advisor.errors import InputError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse(text: str) -> float:
    """Return the seconds of a duration such as "90", "90s", "10m", "1.5h" or "1h30m".

    Raises InputError where it is not a duration, or not above 0.
    """
    compact = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smh]?)", compact)
    if not parts or "".join(a + b for a, b in parts) != compact:
        raise InputError(f"--budget {text}: expected a duration.", hint='Write it like "90s", "10m" or "1h30m".')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise InputError(
            f"--budget {text}: expected more than 0 seconds.", hint='Write it like "90s", "10m" or "1h30m".'
        )
    return seconds


def words(seconds: float) -> str:
    """Return a duration as text for people: 8.1 s, 12 s, 2 min 5 s, 1 h 2 min."""
    if seconds < 10 and not float(seconds).is_integer():
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
