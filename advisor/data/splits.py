"""Split items into the held-out test set, training and validation: pure functions of contents, labels and groups.

`cut_test` depends on file contents and labels only, never on a seed, so that runs with several seeds share one test set;
`folds` depends on a seed. Both keep groups (equal bytes, or a manifest's group column) whole. Does NOT cover: splits that a
layout states (`dataset`). `write_csv` is the only function here that writes to disk.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advisor.aliases import AnyArray
from advisor.records import (
    Dataset,
    Item,
)
from advisor.runtime import atomic_file

FOLDS = 5
TEST_FRACTION = 0.2
SMALLEST_CLASS = 3  # images; a smaller class stays in training and gets no test score


def cut_test(
    sha256: Sequence[str],
    labels: Sequence[int],
    groups: Sequence[str] | None = None,
    *,
    fraction: float = TEST_FRACTION,
) -> AnyArray:
    """Choose the held-out test set: a boolean array, True for its images.

    Stratified: about `fraction` of each class and at least one image, whole groups ("" is a group of its own; equal
    bytes always are one group). A class under 3 images, or one that is a single group, stays out of the test.
    """
    whole = joined(sha256, groups)
    labels_N = np.asarray(labels, dtype=np.int64)
    classes = int(labels_N.max()) + 1 if len(labels_N) else 0
    counts_K = np.bincount(labels_N, minlength=classes)
    target_K = np.where(counts_K >= SMALLEST_CLASS, np.maximum(1, np.rint(fraction * counts_K)), 0).astype(np.int64)
    members = _members(whole)
    # A pseudo-random order that follows from the contents alone: the hash of the group's smallest hash.
    order = sorted(members, key=lambda rows: hashlib.sha256(b"test" + min(sha256[i] for i in rows).encode()).digest())
    chosen = _take(order, labels_N, counts_K, target_K)
    locked = np.zeros(len(labels_N), dtype=bool)
    for rows in chosen:
        locked[rows] = True
    return locked


def joined(
    sha256: Sequence[str], groups: Sequence[str] | None = None, similar: Sequence[Sequence[int]] = ()
) -> AnyArray:
    """Number the sets of images that must stay together, in order of first appearance.

    These are images with equal bytes, with an equal group, or in one of the sets of rows in `similar`.
    """
    parent = list(range(len(sha256)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, digest in enumerate(sha256):
        keys = [("bytes", digest)] + ([("group", groups[i])] if groups is not None and groups[i] else [])
        for key in keys:
            a, b = sorted((root(first.setdefault(key, i)), root(i)))
            parent[b] = a
    for rows in similar:
        for i in rows:
            a, b = sorted((root(rows[0]), root(i)))
            parent[b] = a
    number: dict[int, int] = {}
    return np.array([number.setdefault(root(i), len(number)) for i in range(len(sha256))], dtype=np.int64)


def groups_of(items: Sequence[Item]) -> AnyArray:
    """Number the sets of items that must stay together, in the form that `folds` takes as `groups`."""
    return joined([item.sha256 for item in items], [item.group for item in items])


def folds(labels: AnyArray, groups: AnyArray | None = None, *, k: int, seed: int) -> list[tuple[AnyArray, AnyArray]]:
    """Split items into at most `k` stratified (train rows, validation rows) pairs, whole groups, from `seed` alone.

    Every class keeps at least one image in every train part: an only image, or an only group, of a class is in no
    validation part. Folds that would validate nothing are left out, so the list may be shorter than `k` (empty where
    every class has one image). Rows are sorted. Raises ValueError for k < 2.
    """
    if k < 2:
        raise ValueError(f"k must be at least 2, got {k}")
    labels_N = np.asarray(labels, dtype=np.int64)
    if not len(labels_N):
        return []
    whole = np.arange(len(labels_N)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    draws = np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), 0x666F6C6473]))
    fold_N = _deal(labels_N, k, draws) if groups is None else _deal_groups(labels_N, whole, k, draws)
    rows = np.arange(len(labels_N))
    pairs = [(rows[fold_N != fold], rows[fold_N == fold]) for fold in range(k)]
    return [(train, validation) for train, validation in pairs if len(validation) and len(train)]


def holdout_folds(
    labels: AnyArray, groups: AnyArray, held_out: AnyArray, *, k: int, seed: int
) -> list[tuple[AnyArray, AnyArray]]:
    """Return `k` (train rows, validation rows) pairs where a given validation set validates.

    The rows of `held_out` (N, bool) are dealt to the folds by whole groups, class by class, so that each is validated
    once; every fold trains on the same other rows, without those whose group is in the validation set. Classes that
    only the validation set has stay in training. Raises ValueError where it has fewer than `k` groups.
    """
    labels_N, whole = np.asarray(labels, dtype=np.int64), np.asarray(groups)
    validated = _validated(labels_N, whole, np.asarray(held_out, dtype=bool))
    train = np.flatnonzero(~validated & ~np.isin(whole, whole[validated]))
    numbers, first = np.unique(whole[validated], return_index=True)
    if len(numbers) < k:
        raise ValueError(f"a validation set of {len(numbers)} groups cannot be dealt to {k} folds")
    draws = np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), 0x686F6C646F7574]))
    shuffled = draws.permutation(len(numbers))
    order = shuffled[np.argsort(labels_N[validated][first][shuffled], kind="stable")]
    fold_of = {int(numbers[position]): rank % k for rank, position in enumerate(order)}
    rows = np.flatnonzero(validated)
    fold_N = np.array([fold_of[int(group)] for group in whole[rows]])
    return [(train, rows[fold_N == fold]) for fold in range(k)]


def can_hold_out(
    labels: Sequence[int] | AnyArray, groups: AnyArray, held_out: Sequence[bool] | AnyArray, *, k: int
) -> bool:
    """Return True where the validation set has at least `k` groups of classes that are trained on too."""
    labels_N, whole = np.asarray(labels, dtype=np.int64), np.asarray(groups)
    return len(np.unique(whole[_validated(labels_N, whole, np.asarray(held_out, dtype=bool))])) >= k


def _validated(labels_N: AnyArray, whole: AnyArray, held_out: AnyArray) -> AnyArray:
    """Return the rows of the validation set whose class has training rows of other groups, (N,) bool."""
    free = ~held_out & ~np.isin(whole, whole[held_out])
    rows: AnyArray = held_out & np.isin(labels_N, labels_N[free])
    return rows


def write_csv(dataset: Dataset, path: str | Path) -> None:
    """Write path, label, split ("train" or "test"), group and sha256 of every item, replacing `path` atomically.

    The file is a manifest: copied into the root of the data it states the same split.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("path", "label", "split", "group", "sha256"))
    for item in dataset.items:
        split = "test" if item.split == "test" else "train"
        table.writerow((item.path, dataset.classes[item.label], split, item.group, item.sha256))
    atomic_file.write_atomically(Path(path), text.getvalue())


def _members(whole: AnyArray) -> list[AnyArray]:
    order = np.argsort(whole, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(whole[order])) + 1) if len(order) else []


def _take(order: list[AnyArray], labels_N: AnyArray, counts_K: AnyArray, target_K: AnyArray) -> list[AnyArray]:
    """Choose groups in order while they bring the test set closer to its target and leave training images in every class."""
    labels, left, target = labels_N.tolist(), counts_K.tolist(), target_K.tolist()
    need = list(target)
    chosen, passed = [], []

    def take(rows: AnyArray, have: Counter[int]) -> None:
        chosen.append(rows)
        for label, count in have.items():
            left[label] -= count
            need[label] -= count

    # Counts of a few labels, not arrays over all classes: most groups are one image, and there may be 50,000.
    for rows in order:
        have = Counter([labels[row] for row in rows.tolist()])
        if not all(left[label] > count and target[label] > 0 for label, count in have.items()):
            continue
        gain = sum(abs(need[label]) - abs(need[label] - count) for label, count in have.items())
        if gain > 0:
            take(rows, have)
        else:
            passed.append((rows, have))
    # Large groups can leave a class without any test image: add its smallest group that leaves images to train on.
    for rows, have in sorted(passed, key=lambda group: len(group[0])):
        is_missing = any(need[label] == target[label] for label in have)
        if is_missing and all(left[label] > count for label, count in have.items()):
            take(rows, have)
    return chosen


def _deal(labels_N: AnyArray, k: int, draws: np.random.Generator) -> AnyArray:
    """Deal single items class by class, starting each class at another fold, so that small classes do not all fill fold 0."""
    fold_N = np.full(len(labels_N), -1, dtype=np.int64)
    start = 0
    for label in np.unique(labels_N):
        rows = np.flatnonzero(labels_N == label)
        if len(rows) < 2:
            continue
        fold_N[draws.permutation(rows)] = (start + np.arange(len(rows))) % k
        start += len(rows)
    return fold_N


def _deal_groups(labels_N: AnyArray, whole: AnyArray, k: int, draws: np.random.Generator) -> AnyArray:
    """Deal whole groups, the largest first, each to the fold where it keeps class counts most even."""
    members = _members(whole)
    classes = int(labels_N.max()) + 1
    sizes = np.bincount(labels_N, minlength=classes).astype(np.float64)
    order = [members[i] for i in draws.permutation(len(members))]
    order.sort(key=len, reverse=True)  # stable: equal sizes stay shuffled
    held = np.zeros((k, classes))
    fold_N = np.full(len(labels_N), -1, dtype=np.int64)
    larger = sum(len(rows) > 1 for rows in order)
    for rows in order[:larger]:
        kinds, have = np.unique(labels_N[rows], return_counts=True)
        if np.any(sizes[kinds] <= have):
            continue  # the only group of some class: it must stay in train
        # Sum of squares after minus before: the fold with the least of these classes wins; then the emptiest fold.
        spares = np.all(held[:, kinds] + have < sizes[kinds], axis=1)  # no fold may hold all groups of a class
        if not spares.any():
            continue
        cost = np.where(spares, ((2 * held[:, kinds] + have) * have / sizes[kinds]).sum(axis=1), np.inf)
        best = np.lexsort((held.sum(axis=1), cost))[0]
        held[best, kinds] += have
        fold_N[rows] = best
    _deal_singles([int(rows[0]) for rows in order[larger:]], labels_N.tolist(), sizes.tolist(), held, fold_N)
    return fold_N


def _deal_singles(rows: list[int], labels: list[int], sizes: list[float], held_kK: AnyArray, fold_N: AnyArray) -> None:
    """Deal groups of one image by the rule of `_deal_groups`, into `fold_N`.

    The fold with the fewest images of the one class costs least, so that whole numbers decide, without arrays: a large data
    set consists of such groups.
    """
    held, total = held_kK.T.tolist(), held_kK.sum(axis=1).tolist()
    for row in rows:
        own, size = held[labels[row]], sizes[labels[row]]
        spares = [fold for fold, count in enumerate(own) if count + 1 < size]
        if spares:
            best = min(spares, key=lambda fold: (own[fold], total[fold]))
            own[best] += 1
            total[best] += 1
            fold_N[row] = best


def split_list_sha256(dataset: Dataset) -> str:
    """Hash the assignment of images to splits by content and label, so that two splits can be compared without listing."""
    digest = hashlib.sha256()
    for line in sorted(f"{i.split}\t{dataset.classes[i.label]}\t{i.sha256}" for i in dataset.items):
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
