"""Names in a listing and in messages about it: labels as they are stored, several names in one line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from advisor.data.images import printable


def label_name(text: str) -> str:
    """Return a label in composed Unicode (NFC), with bytes that are not UTF-8 escaped."""
    return unicodedata.normalize("NFC", printable(text))


def shortened(names: Iterable[str], most: int = 5) -> str:
    """Join names for one line of text: the first `most`, and how many more there are."""
    shown = [printable(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
