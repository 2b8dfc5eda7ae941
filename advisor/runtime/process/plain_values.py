"""Values from a plugin's code -> the same values as Python's own numbers, truth values and text.

A numpy number passes for a float, a numpy text for a str, and neither can be written as JSON or YAML. Does NOT cover:
whether a value is a legal one (`plugin_validation`, `plugin_guard`, `data.layouts.plugin_layouts`).
"""

from __future__ import annotations

import math
import numbers
import sys
from typing import Any


def plain(value: Any) -> Any:
    """Return a number, truth value or text as Python's own, whatever library it is of; anything else as it is."""
    numpy = sys.modules.get("numpy")  # while nobody has imported it, no value is one of its own
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def is_finite(value: Any) -> bool:
    """Return True unless a plain value is, or contains, a float that is not finite: JSON has no such number."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(is_finite(v) for v in value.values())
    return all(is_finite(v) for v in value) if isinstance(value, list | tuple) else True


def is_utf8(text: str) -> bool:
    """Return True if a text can be written as UTF-8, which lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
