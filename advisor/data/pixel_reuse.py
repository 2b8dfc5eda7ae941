"""Pixels that another data set's cache already holds: what has been decoded once is copied, not decoded again.

In: the items wanted and the rule of their squares. Out: a stored array of the same rule with the row of every item that
is in it, so that a data set with one photo more costs one photo. Found by content, so names and labels do not matter.
Does NOT cover: decoding (`pixels`), where arrays are kept (`cache`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.records import Item
from advisor.runtime import cache

LOOKED_AT = 8  # stored arrays of the same rule, the most recently used first
_LIST = ("items", "images")  # the fields that say which images, not how they became squares


@dataclass(frozen=True)
class Donor:
    """A stored array (M, S, S, 3), and for each item wanted its row there, -1 where it is not."""

    squares: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]


def remember(store: cache.Store, fields: cache.Fields, items: Sequence[Item]) -> None:
    """Keep which contents the rows of a stored array are. Raises CacheFullError."""
    store.keep(_beside(cache.key(fields)), _contents(items))


def find(store: cache.Store, fields: cache.Fields, items: Sequence[Item]) -> Donor | None:
    """Give the stored array of the same rule that holds the most of the items; None where none holds any."""
    best: Donor | None = None
    how = {name: value for name, value in fields.items() if name not in _LIST}
    same = [e for e in store.entries() if how == {n: v for n, v in e.fields.items() if n not in _LIST}]
    wanted = _contents(items)
    for entry in same[:LOOKED_AT]:
        squares, contents = store.array(entry.fields), store.array(_beside(entry.key))
        if squares is None or contents is None or len(squares) != len(contents):
            continue
        refused = {int(row) for row, _ in store.notes(entry.fields) or ()}
        row_of = {bytes(c): row for row, c in enumerate(contents) if row not in refused}
        rows = np.array([row_of.get(bytes(c), -1) for c in wanted], dtype=np.int64)
        if (rows >= 0).sum() > (0 if best is None else (best.rows >= 0).sum()):
            best = Donor(squares, rows)
    return best


def _beside(key: str) -> dict[str, Any]:
    return {"kind": "pixel contents", "of": key}


def _contents(items: Sequence[Item]) -> npt.NDArray[np.uint8]:
    """Give the first half of every item's SHA-256, (N, 16)."""
    return np.frombuffer(b"".join(bytes.fromhex(i.sha256[:32]) for i in items), dtype=np.uint8).reshape(-1, 16)
