"""JSON that somebody else may have written or damaged, read as plain values: whatever is wrong with it is a ValueError.

In: text or bytes. Out: dicts, lists, text and numbers. Python's own reader raises RecursionError for brackets in brackets, a
thousand deep, which is no ValueError. Does NOT cover: records (`json_records`), writing (`atomic_file`).
"""

from __future__ import annotations

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """Return the values that a JSON text holds. Raises ValueError of one line where it is no JSON, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
