"""Draw a stratified sample of items for budgets that are too short for all of them.

In: items and a number. Out: that many items, classes in proportion and at least one each; fixed by file contents, so the
same on every machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.records import Dataset, Item


def stratified(items: Sequence[Item], n: int) -> tuple[Item, ...]:
    """Return about `n` items in their order: of each class its share (at least one), those with the smallest hashes."""
    if n >= len(items):
        return tuple(items)
    classes: dict[int, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda i: (i.sha256, i.path)):
        classes[item.label].append(item)
    share = n / len(items)
    chosen = {id(i) for members in classes.values() for i in members[: max(1, round(share * len(members)))]}
    return tuple(i for i in items if id(i) in chosen)


@dataclass(frozen=True, kw_only=True)
class Subsample:
    """The items that a run uses. `pool_sample` and `test_sample` are the sizes requested, None where all are used."""

    pool: tuple[Item, ...]
    test: tuple[Item, ...]
    pool_sample: int | None = None
    test_sample: int | None = None
    warnings: tuple[str, ...] = ()


def draw(dataset: Dataset, pool_sample: int | None, test_sample: int | None) -> Subsample:
    """Draw samples of a data set's pool and test set; None takes all."""
    pool, test, warnings = dataset.pool, dataset.test, []
    if pool_sample is not None:
        pool = stratified(dataset.pool, pool_sample)
        warnings.append(
            f"the budget is enough for {len(pool):,} of the {len(dataset.pool):,} training images (a stratified sample, "
            "fixed by file contents): a larger --budget uses all"
        )
    if test_sample is not None:
        test = stratified(dataset.test, test_sample)
        warnings.append(
            f"the budget is enough to score {len(test):,} of the {len(dataset.test):,} test images (a stratified sample, "
            "fixed by file contents before the search)"
        )
    return Subsample(pool=pool, test=test, pool_sample=pool_sample, test_sample=test_sample, warnings=tuple(warnings))
