"""Samples that stand for all images where the time is short: stratified, fixed by content, as large as the budget bears."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import write_crops

from advisor import registry
from advisor.data import dataset, subsample
from advisor.records import Dataset, Item
from advisor.tuning import budget


def items(counts: list[int], split: str = "pool") -> tuple[Item, ...]:
    """So many items of each class, with contents of their own."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    digests = (hashlib.sha256(str(n).encode()).hexdigest() for n in range(len(labels)))
    return tuple(
        Item(
            path=f"{split}/{label}/{n}.jpg",
            label=label,
            given="",
            split=split,
            sha256=digest,
            width=64,
            height=64,
            mode="RGB",
            bytes=1000,
        )
        for n, (label, digest) in enumerate(zip(labels, digests, strict=True))
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Crops of which each stands for two thousand others."""
    data = dataset.read(write_crops(tmp_path_factory.mktemp("sampling") / "crops"))
    return replace(data, items=(*items([20_000, 15_000, 5_000]), *items([100, 100, 100], "test")))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 200), st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_sample_is_stratified_and_depends_on_contents_alone(counts: list[int], n: int, random: object) -> None:
    """Every class in proportion and at least once; another order of the same items gives the same sample."""
    every = items(counts)
    chosen = subsample.stratified(every, n)
    share = min(1.0, n / len(every))
    for label, count in Counter(i.label for i in every).items():
        own = sum(i.label == label for i in chosen)
        assert 1 <= own <= count
        assert abs(own - share * count) <= 1
    shuffled = list(every)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {i.path for i in subsample.stratified(shuffled, n)} == {i.path for i in chosen}
    assert [i for i in every if i in chosen] == list(chosen)


def seconds_of(sample: subsample.Subsample, macs: float) -> float:
    """What a pass over the pool is taken to last."""
    return budget.extraction_s(len(sample.pool), macs, "cpu")


@pytest.mark.parametrize(("budget_s", "share"), [(20.0, 0.35), (40.0, 0.35), (120.0, 0.2), (300.0, 0.2)])
def test_the_first_pass_takes_its_share_of_the_budget(large: Dataset, budget_s: float, share: float) -> None:
    """A fifth, so that there is time to train; more where the budget is too short for that, and heads gain from images."""
    backbone = registry.load().backbone("mobilenet_v2")
    macs = budget.at_size(backbone.macs, backbone.preprocess.size, 128)
    sample = budget.for_budget(large, budget_s, "cpu", [backbone], {backbone.name: (128,)})
    usable_s = max(1.0, budget_s - budget.START_S - budget.FINISH_S)
    assert seconds_of(sample, macs) == pytest.approx(share * usable_s, rel=0.02)
    assert any("of the 40,000 training images" in w for w in sample.warnings)


def test_one_thread_passes_half_the_images_of_two(large: Dataset) -> None:
    """More threads, or none set, change nothing: what is drawn never depends on the machine."""
    backbone = registry.load().backbone("mobilenet_v2")
    sizes = {backbone.name: (128,)}
    by_threads = {
        threads: len(budget.for_budget(large, 120.0, "cpu", [backbone], sizes, threads=threads).pool)
        for threads in (1, 2, 16, None)
    }
    assert by_threads[1] == pytest.approx(by_threads[2] / 2, rel=0.01)
    assert by_threads[2] == by_threads[16] == by_threads[None]


def test_between_short_and_long_budgets_more_time_is_never_fewer_images(large: Dataset) -> None:
    """The share falls, the sample does not."""
    backbone = registry.load().backbone("mobilenet_v2")
    sizes = {backbone.name: (128,)}
    pools = [len(budget.for_budget(large, s, "cpu", [backbone], sizes).pool) for s in range(15, 400, 5)]
    assert pools == sorted(pools)


def test_without_a_clock_or_with_time_all_images_are_used(large: Dataset) -> None:
    """A fixed amount of work samples nothing, and says nothing."""
    backbone = registry.load().backbone("mobilenet_v2")
    sizes = {backbone.name: (128,)}
    for budget_s in (None, 86_400.0):
        sample = budget.for_budget(large, budget_s, "cpu", [backbone], sizes)
        assert (sample.pool, sample.test, sample.warnings) == (large.pool, large.test, ())
