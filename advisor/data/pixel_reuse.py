"""Reuse decoded pixels that the cache holds for another list of images.

In: items and the rule of their squares. Out: a stored array of the same rule and, per item, its row there; a data set
that gains one photo decodes one photo. Matched by content; names and labels do not matter. Does NOT cover: decoding
(`pixels`), storing arrays (`runtime.cache`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.records import Item
from advisor.runtime import cache

MAX_CANDIDATES = 8  # stored arrays of the same rule that are compared, the most recently used first
_IDENTITY = ("items", "images")  # key fields that identify the images, not how they were decoded


@dataclass(frozen=True)
class Donor:
    """A stored array (M, S, S, 3) and, for each requested item, its row there (-1 where absent)."""

    squares: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]


def remember(store: cache.Store, fields: cache.Fields, items: Sequence[Item]) -> None:
    """Store the content hashes of an array's rows beside it. Raises CacheFullError."""
    store.keep(_beside(cache.key(fields)), _contents(items))


def find(store: cache.Store, fields: cache.Fields, items: Sequence[Item]) -> Donor | None:
    """Return the stored array of the same rule that holds most of the items, or None where none holds any."""
    best: Donor | None = None
    rule = {name: value for name, value in fields.items() if name not in _IDENTITY}
    same = [e for e in store.entries() if rule == {n: v for n, v in e.fields.items() if n not in _IDENTITY}]
    requested = _contents(items)
    for entry in same[:MAX_CANDIDATES]:
        squares, contents = store.array(entry.fields), store.array(_beside(entry.key))
        if squares is None or contents is None or len(squares) != len(contents):
            continue
        refused = {int(row) for row, _ in store.notes(entry.fields) or ()}
        row_of = {bytes(c): row for row, c in enumerate(contents) if row not in refused}
        rows = np.array([row_of.get(bytes(c), -1) for c in requested], dtype=np.int64)
        if (rows >= 0).sum() > (0 if best is None else (best.rows >= 0).sum()):
            best = Donor(squares, rows)
    return best


def _beside(key: str) -> dict[str, Any]:
    return {"kind": "pixel contents", "of": key}


def _contents(items: Sequence[Item]) -> npt.NDArray[np.uint8]:
    """Return the first half of every item's SHA-256, (N, 16) uint8."""
    return np.frombuffer(b"".join(bytes.fromhex(i.sha256[:32]) for i in items), dtype=np.uint8).reshape(-1, 16)
