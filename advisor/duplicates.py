"""Images that are the same: by bytes, or to the eye; and which of them leak from the test into training.

Near-duplicates are candidates by a perceptual hash (the low frequencies of a normalised grey thumbnail, kept as
numbers, so that none within the tolerance is missed) and confirmed on the colour thumbnail's pixels. Found: copies that
were encoded again, resized, converted or slightly retouched. Not found: crops, flips, other exposures; flat images,
which carry nothing to compare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from advisor.pixels import PixelRule
from advisor.records import Dataset, DuplicateGroup, Item, Unreadable

if TYPE_CHECKING:
    from advisor.cache import Store

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
SIDE_PX = 32
RULE = PixelRule(SIDE_PX, SIDE_PX, "bilinear", "squash", draft=True)
TOLERANCE = 0.15  # RMS difference of two thumbnails over their contrast; a copy stays below, see docs/decisions.md
FLAT = 4.0  # grey levels; an image with less contrast is not compared
_HASH = 6  # frequencies a side
_CHUNK = 4096  # rows compared at a time


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
    from advisor import pixels

    return pixels.canvas(root, items, RULE, store=store, progress=progress)


def near(items: Sequence[Item], thumbnails_NSS3: Array) -> tuple[DuplicateGroup, ...]:
    """Group items that look the same but differ in bytes; copies with equal bytes are listed in the group as well.

    `thumbnails_NSS3` belongs to `items` row by row (zeros where a file could not be read).
    """
    first = {item.sha256: row for row, item in reversed(list(enumerate(items)))}
    rows = np.array(sorted(first.values()), dtype=np.int64)
    pairs = confirmed(thumbnails_NSS3[rows]) if len(rows) > 1 else np.empty((0, 2), np.int64)
    copies: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        copies[item.sha256].append(row)
    sets = _connected(len(rows), pairs)
    groups = []
    for members in sets:
        together = sorted(row for m in members for row in copies[items[rows[m]].sha256])
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


def confirmed(thumbnails_NSS3: Array, *, tolerance: float = TOLERANCE) -> Array:
    """Pairs (i, j), i < j, whose thumbnails are equal within `tolerance`: RMS difference over the larger contrast."""
    from scipy.spatial import cKDTree

    hashes_NF, contrast_N = perceptual_hash(thumbnails_NSS3)
    lively = np.flatnonzero(contrast_N >= FLAT)
    if len(lively) < 2:
        return np.empty((0, 2), np.int64)
    # The hash is a projection: two thumbnails are never further apart there than pixel by pixel.
    tree = cKDTree(hashes_NF[lively])
    candidates = tree.query_pairs(2 * tolerance, output_type="ndarray")
    candidates = np.sort(lively[candidates], axis=1)
    kept = []
    for start in range(0, len(candidates), _CHUNK):
        pairs = candidates[start : start + _CHUNK]
        a = thumbnails_NSS3[pairs[:, 0]].astype(np.float32)
        b = thumbnails_NSS3[pairs[:, 1]].astype(np.float32)
        rms = np.sqrt(np.square(a - b).mean(axis=(1, 2, 3)))
        contrast = np.maximum(contrast_N[pairs[:, 0]], contrast_N[pairs[:, 1]])
        kept.append(pairs[rms <= tolerance * contrast])
    found = np.concatenate(kept) if kept else np.empty((0, 2), np.int64)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def perceptual_hash(thumbnails_NSS3: Array) -> tuple[Array, Array]:
    """Low frequencies (N, F) of the grey thumbnails, contrast divided out, and the contrast (N,) in grey levels."""
    from scipy.fft import dct

    side = thumbnails_NSS3.shape[1]
    basis = dct(np.eye(side), norm="ortho", axis=0)[:_HASH].astype(np.float32)
    hashes, contrasts = [], []
    for start in range(0, len(thumbnails_NSS3), _CHUNK):
        grey = thumbnails_NSS3[start : start + _CHUNK].astype(np.float32).mean(axis=3)
        grey -= grey.mean(axis=(1, 2), keepdims=True)
        contrast = np.sqrt(np.square(grey).mean(axis=(1, 2)))
        low = np.einsum("fy,nyx,gx->nfg", basis, grey, basis, optimize=True).reshape(len(grey), -1)[:, 1:]
        hashes.append(low / (side * np.maximum(contrast, 1e-6)[:, None]))
        contrasts.append(contrast)
    return np.concatenate(hashes), np.concatenate(contrasts)


def _group(kind: str, members: Sequence[Item]) -> DuplicateGroup:
    return DuplicateGroup(
        kind=kind,
        paths=tuple(sorted(item.path for item in members)),
        across={item.split for item in members} == {"pool", "test"},
        labels_differ=len({item.label for item in members}) > 1,
    )


def _connected(count: int, pairs: Array) -> list[list[int]]:
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs.tolist():
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    sets: dict[int, list[int]] = defaultdict(list)
    for i in sorted({int(i) for i in pairs.ravel()}):
        sets[root(i)].append(i)
    return list(sets.values())
