"""A stratified sample of items, fixed by their contents: what is used where time is too short for all of them.

In: items and a number. Out: so many of them, every class in proportion and at least one each, the same on every machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor import budget
from advisor.hooks import Backbone
from advisor.records import Dataset, Item

# Of the budget, for the first probe of the pool: beyond it, a sample of the pool stands for it. In a budget that is too short
# to train anything heads are all there is, and gain from every image: there the larger share, up to so many seconds.
POOL_SHARE, SHORT_SHARE, SHORT_S = 0.2, 0.35, 15.0
TEST_SHARE = 0.15  # of the budget, for scoring the locked test once


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


def cheapest_macs(backbones: Sequence[Backbone], sizes: Mapping[str, tuple[int, ...]]) -> float:
    """Give the multiply-adds of one image on the cheapest backbone and size."""
    return min(budget.at_size(b.macs, b.preprocess.size, min(sizes[b.name])) for b in backbones)


def affordable(items: Sequence[Item], macs: float, device: str, seconds: float) -> int | None:
    """Say how many items one frozen pass may see in so many seconds, at least 20 a class; None for all of them."""
    each = budget.extraction_s(1, macs, device)
    floor = 20 * len({i.label for i in items})
    number = max(floor, int(seconds / max(each, 1e-9)))
    return None if number >= len(items) else number


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


def for_budget(
    dataset: Dataset,
    budget_s: float | None,
    device: str,
    backbones: Sequence[Backbone],
    sizes: Mapping[str, tuple[int, ...]],
) -> Used:
    """Choose the pool and test items that the budget affords, from cards alone."""
    if budget_s is None:
        return used(dataset, None, None)
    usable_s = max(1.0, budget_s - budget.START_S - budget.FINISH_S)
    macs = cheapest_macs(backbones, sizes)
    pool_s = max(POOL_SHARE * usable_s, min(SHORT_SHARE * usable_s, SHORT_S))
    pool = affordable(dataset.pool, macs, device, pool_s)
    test = affordable(dataset.test, macs, device, TEST_SHARE * usable_s) if dataset.test else None
    return used(dataset, pool, test)
