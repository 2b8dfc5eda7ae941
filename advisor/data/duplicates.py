"""Find duplicate images, equal in bytes or in appearance, and those that leak from the test set into training.

Near-duplicates are found on 32-pixel thumbnails (`near_duplicates`) and, for larger images, confirmed at 64 pixels.
Found: copies that were re-encoded, resized, converted, brightened or slightly retouched, crops and mirror images (`crops`).
Not found: rotations, flat images. Images are only ever removed from training, never from the test set.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.aliases import AnyArray, CountProgress, Note
from advisor.data import near_duplicates, pixels
from advisor.data.pixels import PixelRule
from advisor.data.similarity import crops, stored_search
from advisor.records import Dataset, DuplicateGroup, Item, Unreadable
from advisor.records.data import DuplicateKind, ValueRange

if TYPE_CHECKING:
    from advisor.runtime.cache import Store

SIDE_PX = 32
RULE = PixelRule(SIDE_PX, SIDE_PX, "bilinear", "squash", draft=True)
TOLERANCE = 0.15  # docs/duplicates.md: rates of copies found and of false alarms
FINE_PX = 64
FINE_RULE = PixelRule(FINE_PX, FINE_PX, "bilinear", "squash", draft=True)
FINE_TOLERANCE = 0.2
LARGE_RULE = PixelRule(crops.LARGE_PX, crops.LARGE_PX, "bilinear", "squash", draft=True)
WHOLE_SEARCH = crops.Extent()


def ignore(text: str) -> None:
    """Ignore what is said."""


def exact(items: Sequence[Item]) -> tuple[DuplicateGroup, ...]:
    """Group items whose bytes are equal."""
    same: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        same[item.sha256].append(row)
    return tuple(_group("exact", [items[row] for row in rows]) for rows in same.values() if len(rows) > 1)


def thumbnails(
    root: str | Path,
    items: Sequence[Item],
    *,
    store: Store | None = None,
    progress: CountProgress | None = None,
    value_range: ValueRange | None = None,
) -> tuple[AnyArray, tuple[Unreadable, ...]]:
    """Decode all items to (N, 32, 32, 3) uint8, squashed to squares; every file is decoded to its end."""
    rule = dataclasses.replace(RULE, value_range=value_range)
    return pixels.canvas(root, items, rule, store=store, progress=progress)


def near(
    root: str | Path, items: Sequence[Item], thumbnails_NSS3: AnyArray, *, value_range: ValueRange | None = None
) -> tuple[DuplicateGroup, ...]:
    """Group items that look the same but differ in bytes; exact copies of a member are listed in its group as well.

    `thumbnails_NSS3` holds one row per item, made with the same `value_range`. The files of candidate pairs are read again
    under `root`.
    """
    copies: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        copies[item.sha256].append(row)
    firsts = [rows[0] for rows in copies.values()]
    # Without exact copies no rows are selected: the thumbnails may be a memory-mapped file.
    small = thumbnails_NSS3 if len(firsts) == len(items) else thumbnails_NSS3[firsts]
    pairs = near_duplicates.alike(small, TOLERANCE)
    pairs = _confirmed(root, [items[row] for row in firsts], pairs, small, value_range)
    groups = []
    for members in _connected(pairs):
        together = sorted(row for m in members for row in copies[items[firsts[m]].sha256])
        groups.append(_group("near", [items[row] for row in together]))
    return tuple(groups)


def similar(
    root: str | Path,
    items: Sequence[Item],
    thumbnails_NSS3: AnyArray,
    *,
    value_range: ValueRange | None = None,
    extent: crops.Extent = WHOLE_SEARCH,
    store: Store | None = None,
    stage: Note = ignore,
) -> tuple[DuplicateGroup, ...]:
    """Group items that show the same picture: near-duplicates, then crops and mirror images that these do not hold.

    `store` keeps what the search for crops found; `stage` hears that this search begins.
    """
    groups = near(root, items, thumbnails_NSS3, value_range=value_range)
    near_group = {path: number for number, group in enumerate(groups) for path in group.paths}
    limits: dict[str, Any] = {"value_range": value_range, "extent": extent}
    others = altered(root, items, thumbnails_NSS3, **limits, store=store, stage=stage)
    # An image without near-duplicates stands for itself, so that only a set within one group counts as one.
    return (*groups, *(other for other in others if len({near_group.get(path, path) for path in other.paths}) > 1))


def altered(
    root: str | Path,
    items: Sequence[Item],
    thumbnails_NSS3: AnyArray,
    *,
    value_range: ValueRange | None = None,
    extent: crops.Extent = WHOLE_SEARCH,
    store: Store | None = None,
    stage: Note = ignore,
) -> tuple[DuplicateGroup, ...]:
    """Group images of which one shows a part of another ("crop"), or its mirror image ("mirror").

    `thumbnails_NSS3` holds one row per item. No parts of images under 80 pixels are looked for: there
    is too little to confirm on, and small drawings resemble parts of each other by the hundred. `store` keeps what a search
    without limits found; `stage` hears that a search begins.
    """
    rule = dataclasses.replace(LARGE_RULE, value_range=value_range)
    unread: list[Unreadable] = []

    def squares(rows: AnyArray) -> AnyArray:
        large, refused = pixels.canvas(root, [items[int(row)] for row in rows], rule, store=None)
        unread.extend(refused)
        return large

    first: dict[str, int] = {}
    is_first = np.array([first.setdefault(item.sha256, row) == row for row, item in enumerate(items)], dtype=bool)
    side_N = np.array([min(item.width, item.height) for item in items], dtype=np.int64)
    _, contrast = near_duplicates.perceptual_hash(thumbnails_NSS3)
    part = is_first & (side_N >= crops.SMALLEST_PART_PX) & (contrast >= near_duplicates.FLAT)
    whole = part & (side_N >= crops.SMALLEST_PX)
    if not whole.any():
        return ()

    def search() -> tuple[crops.Search, bool]:
        stage("looking for crops and mirror images")
        result = crops.search(thumbnails_NSS3, squares, whole, part, extent)
        return result, not unread  # a file that changed or was moved says nothing about its content

    pairs = stored_search.pairs(store, items, rule, extent, search)
    groups: list[DuplicateGroup] = []
    kinds: tuple[tuple[DuplicateKind, bool], ...] = (("crop", False), ("mirror", True))
    for kind, is_mirrored in kinds:
        chosen = np.array([pair[:2] for pair in pairs if pair[2] == is_mirrored], dtype=np.int64).reshape(-1, 2)
        groups += [_group(kind, [items[row] for row in members]) for members in _connected(chosen)]
    return tuple(groups)


def removable(dataset: Dataset, groups: Iterable[DuplicateGroup]) -> set[str]:
    """Return the paths of pool items to drop so that no group spans pool and test; test items are never dropped."""
    split = {item.path: item.split for item in dataset.items}
    drop: set[str] = set()
    for group in groups:
        sides = {split.get(path) for path in group.paths}
        if {"pool", "test"} <= sides:
            drop |= {path for path in group.paths if split.get(path) == "pool"}
    return drop


def refreshed(groups: Iterable[DuplicateGroup], items: Sequence[Item]) -> tuple[DuplicateGroup, ...]:
    """Return groups of paths with the present splits and labels of `items`; those with fewer than two items are left out."""
    by_path = {item.path: item for item in items}
    members = [(group.kind, [by_path[path] for path in group.paths if path in by_path]) for group in groups]
    return tuple(_group(kind, rows) for kind, rows in members if len(rows) > 1)


def _group(kind: DuplicateKind, members: Sequence[Item]) -> DuplicateGroup:
    return DuplicateGroup(
        kind=kind,
        paths=tuple(sorted(item.path for item in members)),
        across={item.split for item in members} == {"pool", "test"},
        labels_differ=len({item.label for item in members}) > 1,
    )


def _confirmed(
    root: str | Path, items: Sequence[Item], pairs: AnyArray, small_NSS3: AnyArray, value_range: ValueRange | None
) -> AnyArray:
    """Return the pairs that also match on larger thumbnails; small images are compared on the small ones only."""
    first, second = pairs.T
    large = np.array([min(item.width, item.height) >= FINE_PX for item in items], dtype=bool)
    confirmed = near_duplicates.same(small_NSS3[first], small_NSS3[second], TOLERANCE)
    finer = np.flatnonzero(confirmed & large[first] & large[second])
    rows, positions = np.unique(pairs[finer], return_inverse=True)
    if len(rows):
        rule = dataclasses.replace(FINE_RULE, value_range=value_range)
        fine, _ = pixels.canvas(root, [items[row] for row in rows], rule, store=None)
        first_row, second_row = positions.reshape(-1, 2).T
        confirmed[finer] = near_duplicates.same(fine[first_row], fine[second_row], FINE_TOLERANCE)
    confirmed_pairs: AnyArray = pairs[confirmed]
    return confirmed_pairs


def _connected(pairs: AnyArray) -> list[list[int]]:
    """Return the connected sets of rows, each sorted, in order of their first row."""
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
