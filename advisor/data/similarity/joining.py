"""Join images that look alike (bursts, re-encoded copies) into groups that the tool's own splits keep whole.

In: a data set and the sets of similar images found in it (`duplicates`). Out: the data set whose items of one set share a
group, with the test set held out anew where the tool itself holds it out. A given test or validation
set is never changed, nor joined with training images. Does NOT cover: finding them.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from advisor.aliases import AnyArray
from advisor.data import dataset as datasets
from advisor.data import splits
from advisor.records import Dataset, DuplicateGroup, Item
from advisor.records.data import JoinedImages

FEWEST_SERIES = 3  # of a class: one each for test, validation and training
FEW_SERIES = 10  # of a class that consists of them: a score says little about new ones
_DIGITS = 12  # of the hash of an image's bytes that a recipe states


def join(dataset: Dataset, similar: Iterable[DuplicateGroup]) -> Dataset:
    """Return the data set with similar images joined; the same object where there are none.

    Sets that would leave a class with fewer than three groups are not joined: it could not be tested and validated.
    """
    row_of = {item.path: row for row, item in enumerate(dataset.items)}
    sets = [[row_of[path] for path in group.paths if path in row_of] for group in similar]
    return _joined(dataset, _divisible(dataset, _open_sets(dataset, sets)))


def rejoin(dataset: Dataset, joined: JoinedImages | None) -> Dataset:
    """Return the data set with the images joined that a recipe lists, whatever would be found now."""
    if joined is None:
        return dataset
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(dataset.items):
        rows_of[item.sha256[:_DIGITS]].append(row)
    sets = [[row for digits in group.split() for row in rows_of[digits]] for group in joined.members]
    return _joined(dataset, _open_sets(dataset, sets))


def few_series(dataset: Dataset, similar: Iterable[DuplicateGroup]) -> dict[str, tuple[int, int]]:
    """Return the classes whose images are mostly a few series of similar images: (images, series) by class name."""
    row_of = {item.path: row for row, item in enumerate(dataset.items)}
    sets = [[row_of[path] for path in group.paths if path in row_of] for group in similar]
    if not sets:
        return {}
    whole, labels = _numbers(dataset.items, sets), np.array([item.label for item in dataset.items])
    in_set = np.isin(np.arange(len(labels)), [row for rows in sets for row in rows])
    few = {}
    for label, name in enumerate(dataset.classes):
        rows = np.flatnonzero(labels == label)
        series = len(np.unique(whole[rows]))
        if 2 * in_set[rows].sum() > len(rows) >= splits.SMALLEST_CLASS and series < FEW_SERIES:
            few[name] = (len(rows), series)
    return few


def _is_open(dataset: Dataset, item: Item) -> bool:
    """Return True unless the item is in a given test set, or in a given validation set that validates."""
    in_given_test = dataset.split.rule == "given" and item.split == "test"
    return not in_given_test and not (dataset.holds_out_val and item.given == "val")


def _open_sets(dataset: Dataset, sets: Iterable[Sequence[int]]) -> list[list[int]]:
    """Return the sets without the items that a given split fixes; what is then alone is left out."""
    remaining = [[row for row in rows if _is_open(dataset, dataset.items[row])] for rows in sets]
    return [rows for rows in remaining if len(rows) > 1]


def _divisible(dataset: Dataset, sets: Sequence[list[int]]) -> list[list[int]]:
    """Return the sets without those that would leave a class of its pool with fewer than `FEWEST_SERIES` groups."""
    items, remaining = dataset.items, list(sets)
    labels = np.array([item.label for item in items], dtype=np.int64)
    usable = np.array([_is_open(dataset, item) for item in items], dtype=bool)
    before = _series(_numbers(items, ()), labels, usable)
    while remaining:
        after = _series(_numbers(items, remaining), labels, usable)
        spoilt = np.flatnonzero((after < FEWEST_SERIES) & (after < before))
        if not len(spoilt):
            break
        remaining = [rows for rows in remaining if not np.isin(labels[rows], spoilt).any()]
    return remaining


def _series(whole: AnyArray, labels: AnyArray, usable: AnyArray) -> AnyArray:
    """Count the groups of each class, (K,)."""
    pairs = np.unique(np.stack((labels[usable], whole[usable])), axis=1)
    counts: AnyArray = np.bincount(pairs[0], minlength=int(labels.max(initial=-1)) + 1)
    return counts


def _numbers(items: Sequence[Item], sets: Sequence[Sequence[int]]) -> AnyArray:
    return splits.joined([item.sha256 for item in items], [item.group for item in items], sets)


def _joined(dataset: Dataset, sets: Sequence[Sequence[int]]) -> Dataset:
    """Assign one group to the items of each set and to all that must stay with them; hold out the test set anew."""
    if not sets:
        return dataset
    items = list(dataset.items)
    whole = _numbers(items, sets)
    members: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(whole.tolist()):
        if _is_open(dataset, items[row]):  # equal bytes may be on both sides of a given split
            members[number].append(row)
    listed = sorted({int(whole[row]) for rows in sets for row in rows})
    for number in listed:
        given = sorted({items[row].group for row in members[number]} - {""})
        name = given[0] if given else f"alike-{min(items[row].sha256 for row in members[number])[:_DIGITS]}"
        for row in members[number]:
            items[row] = dataclasses.replace(items[row], group=name)
    joined = JoinedImages(
        images=sum(len(members[number]) for number in listed),
        groups=len(listed),
        members=tuple(sorted(_digits(dataset.items, rows) for rows in sets)),
    )
    grouped = dataclasses.replace(dataset, items=tuple(items), has_groups=True, joined=joined)
    return datasets.cut(grouped) if dataset.split.rule == "cut" else grouped


def _digits(items: Sequence[Item], rows: Sequence[int]) -> str:
    return " ".join(sorted({items[row].sha256[:_DIGITS] for row in rows}))
