"""A stratified sample of items, fixed by their contents: what is used where time is too short for all of them.

In: items and a number. Out: so many of them, every class in proportion and at least one each, the same on every machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.records import Dataset, Item


def stratified(items: Sequence[Item], n: int) -> tuple[Item, ...]:
    """Take about `n` items, each class in proportion (at least one), first by hash of their bytes; keeps the order."""
    if n >= len(items):
        return tuple(items)
    classes: dict[int, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda i: (i.sha256, i.path)):
        classes[item.label].append(item)
    share = n / len(items)
    taken = {id(i) for own in classes.values() for i in own[: max(1, round(share * len(own)))]}
    return tuple(i for i in items if id(i) in taken)


@dataclass(frozen=True, kw_only=True)
class Used:
    """The items that a run works with; a number says how many were asked of the sample, None that all are used."""

    pool: tuple[Item, ...]
    test: tuple[Item, ...]
    pool_sample: int | None = None
    test_sample: int | None = None
    warnings: tuple[str, ...] = ()


def used(dataset: Dataset, pool_sample: int | None, test_sample: int | None) -> Used:
    """Take the samples of a data set's pool and test; None takes all."""
    pool, test, warnings = dataset.pool, dataset.test, []
    if pool_sample is not None:
        pool = stratified(dataset.pool, pool_sample)
        warnings.append(
            f"the budget affords {len(pool):,} of the {len(dataset.pool):,} training images (a stratified sample, "
            "fixed by content): a larger --budget uses all"
        )
    if test_sample is not None:
        test = stratified(dataset.test, test_sample)
        warnings.append(
            f"the budget affords scoring {len(test):,} of the {len(dataset.test):,} test images (a stratified sample, "
            "fixed by content before the search)"
        )
    return Used(pool=pool, test=test, pool_sample=pool_sample, test_sample=test_sample, warnings=tuple(warnings))
