"""Images that are the same: by bytes, or to the eye; and which of them leak from the test into training.

Near-duplicates are found on 32-pixel thumbnails (`likeness`) and, where the images are larger, confirmed on 64 pixels.
Found: copies that were encoded again, resized, converted, brightened or slightly retouched. Not found: crops and flips;
flat images. Removal takes images out of training, never out of the test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from advisor.data import near_duplicates, pixels
from advisor.data.pixels import PixelRule
from advisor.records import Dataset, DuplicateGroup, Item, Unreadable

if TYPE_CHECKING:
    from advisor.runtime.cache import Store

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
SIDE_PX = 32
RULE = PixelRule(SIDE_PX, SIDE_PX, "bilinear", "squash", draft=True)
TOLERANCE = 0.15  # docs/duplicates.md: what is found, what is flagged
FINE_PX = 64
FINE_RULE = PixelRule(FINE_PX, FINE_PX, "bilinear", "squash", draft=True)
FINE_TOLERANCE = 0.2


def exact(items: Sequence[Item]) -> tuple[DuplicateGroup, ...]:
    """Group items whose bytes are equal."""
    same: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        same[item.sha256].append(row)
    return tuple(_group("exact", [items[row] for row in rows]) for rows in same.values() if len(rows) > 1)


def thumbnails(
    root: str | Path, items: Sequence[Item], *, store: Store | None = None, progress: Progress | None = None
) -> tuple[Array, tuple[Unreadable, ...]]:
    """Decode all items to (N, 32, 32, 3) uint8, the whole image squashed; every file is decoded to its end."""
    return pixels.canvas(root, items, RULE, store=store, progress=progress)


def near(root: str | Path, items: Sequence[Item], thumbnails_NSS3: Array) -> tuple[DuplicateGroup, ...]:
    """Group items that look the same but differ in bytes; copies with equal bytes are listed in the group as well.

    `thumbnails_NSS3` belongs to `items` row by row. Files of the few candidates are read again under `root`.
    """
    copies: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        copies[item.sha256].append(row)
    firsts = [rows[0] for rows in copies.values()]
    # Without equal bytes the thumbnails are used where they lie, which may be a mapped file.
    small = thumbnails_NSS3 if len(firsts) == len(items) else thumbnails_NSS3[firsts]
    pairs = near_duplicates.alike(small, TOLERANCE)
    pairs = _confirmed(root, [items[row] for row in firsts], pairs, small)
    groups = []
    for members in _connected(pairs):
        together = sorted(row for m in members for row in copies[items[firsts[m]].sha256])
        groups.append(_group("near", [items[row] for row in together]))
    return tuple(groups)


def removable(dataset: Dataset, groups: Iterable[DuplicateGroup]) -> set[str]:
    """Name the pool items to drop so that no group spans pool and test any more; test items are never dropped."""
    split = {item.path: item.split for item in dataset.items}
    drop: set[str] = set()
    for group in groups:
        sides = {split.get(path) for path in group.paths}
        if {"pool", "test"} <= sides:
            drop |= {path for path in group.paths if split.get(path) == "pool"}
    return drop


def _group(kind: str, members: Sequence[Item]) -> DuplicateGroup:
    return DuplicateGroup(
        kind=kind,
        paths=tuple(sorted(item.path for item in members)),
        across={item.split for item in members} == {"pool", "test"},
        labels_differ=len({item.label for item in members}) > 1,
    )


def _confirmed(root: str | Path, items: Sequence[Item], pairs: Array, small_NSS3: Array) -> Array:
    """Keep the pairs that are the same on larger thumbnails too; small images are judged on what they have."""
    first, second = pairs.T
    large = np.array([min(item.width, item.height) >= FINE_PX for item in items], dtype=bool)
    keep = near_duplicates.same(small_NSS3[first], small_NSS3[second], TOLERANCE)
    finer = np.flatnonzero(keep & large[first] & large[second])
    rows, places = np.unique(pairs[finer], return_inverse=True)
    if len(rows):
        fine, _ = pixels.canvas(root, [items[row] for row in rows], FINE_RULE, store=None)
        one, two = places.reshape(-1, 2).T
        keep[finer] = near_duplicates.same(fine[one], fine[two], FINE_TOLERANCE)
    confirmed: Array = pairs[keep]
    return confirmed


def _connected(pairs: Array) -> list[list[int]]:
    """Sets of rows that are linked by pairs, each sorted, in order of their first row."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs.tolist():
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    sets: dict[int, list[int]] = defaultdict(list)
    for i in sorted(parent):
        sets[root(i)].append(i)
    return list(sets.values())
