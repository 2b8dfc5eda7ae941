"""The locked test and the folds: stratified, whole groups, from contents or a seed alone."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import folder, photo, save
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from advisor.data import dataset, splits


def digests(numbers: list[int]) -> list[str]:
    """A SHA-256 for each number, equal where numbers are equal."""
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in numbers]


def test_a_fifth_of_every_class_is_locked() -> None:
    """20 % of each class, rounded, at least one image of a class with three."""
    labels = [0] * 100 + [1] * 33 + [2] * 3 + [3] * 2 + [4]
    locked = splits.cut_test(digests(list(range(len(labels)))), labels)
    counts = np.bincount(np.array(labels)[locked], minlength=5)
    assert counts.tolist() == [20, 7, 1, 0, 0]


def test_the_cut_follows_contents_and_not_order() -> None:
    """Another order of the same files locks the same files."""
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, 200)
    hashes = digests(list(range(200)))
    locked = {h for h, lock in zip(hashes, splits.cut_test(hashes, labels.tolist()), strict=True) if lock}
    order = draws.permutation(200)
    shuffled = [hashes[i] for i in order]
    again = splits.cut_test(shuffled, labels[order].tolist())
    assert {h for h, lock in zip(shuffled, again, strict=True) if lock} == locked


def test_adding_images_moves_few_others() -> None:
    """A data set that grows keeps most of its locked images locked, so that a score stays comparable."""
    hashes, labels = digests(list(range(600))), [i % 3 for i in range(600)]
    before = set(np.flatnonzero(splits.cut_test(hashes[:500], labels[:500])).tolist())
    after = set(np.flatnonzero(splits.cut_test(hashes, labels)[:500]).tolist())
    assert len(before & after) >= 0.8 * len(before)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.integers(0, 8)), min_size=1, max_size=60),
    fraction=st.sampled_from([0.1, 0.2, 0.5]),
)
def test_the_cut_keeps_groups_whole_and_classes_alive(rows: list[tuple[int, int, int]], fraction: float) -> None:
    """Equal bytes and stated groups are never divided, every class keeps an image, small classes are not tested."""
    labels = [label for label, _, _ in rows]
    hashes = digests([content for _, content, _ in rows])
    groups = ["" if group > 4 else f"g{group}" for _, _, group in rows]
    locked = splits.cut_test(hashes, labels, groups, fraction=fraction)
    for keys in (hashes, [g or f"own {i}" for i, g in enumerate(groups)]):
        sides: dict[str, set[bool]] = {}
        for name, lock in zip(keys, locked.tolist(), strict=True):
            sides.setdefault(name, set()).add(lock)
        assert all(len(both) == 1 for both in sides.values())
    for label in set(labels):
        mine = [lock for other, lock in zip(labels, locked.tolist(), strict=True) if other == label]
        assert not all(mine)
        assert len(mine) >= splits.SMALLEST_CLASS or not any(mine)


def test_groups_still_give_about_a_fifth() -> None:
    """With many small groups the locked share is close to what was asked for, in every class."""
    draws = np.random.default_rng(1)
    groups = [f"p{n}" for n in draws.integers(0, 150, 900)]
    labels = draws.integers(0, 3, 900)
    locked = splits.cut_test(digests(list(range(900))), labels.tolist(), groups)
    for label in range(3):
        assert abs(locked[labels == label].mean() - 0.2) < 0.03


def test_a_class_of_large_groups_gets_its_smallest_into_the_test() -> None:
    """A class whose groups are all larger than a fifth still has a test image, from its smallest group."""
    labels = [0] * 12 + [1] * 40
    groups = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + [""] * 40
    locked = splits.cut_test(digests(list(range(52))), labels, groups)
    assert np.flatnonzero(locked[:12]).tolist() == [9, 10, 11]


@settings(max_examples=120, deadline=None)
@given(
    labels=st.lists(st.integers(0, 5), min_size=0, max_size=50),
    k=st.integers(2, 6),
    seed=st.integers(0, 2**63),
    grouped=st.booleans(),
    data=st.data(),
)
def test_folds_hold_what_they_promise(labels: list[int], k: int, seed: int, grouped: bool, data: st.DataObject) -> None:
    """Rows are validated at most once, train is the rest, groups stay whole, every class stays in every train part."""
    labels_N = np.array(labels, dtype=np.int64)
    groups = None
    if grouped:
        numbers = data.draw(st.lists(st.integers(0, 8), min_size=len(labels), max_size=len(labels)))
        groups = np.array(numbers, dtype=np.int64)
    pairs = splits.folds(labels_N, groups, k=k, seed=seed)
    assert len(pairs) <= k
    validated = np.concatenate([v for _, v in pairs]) if pairs else np.empty(0, np.int64)
    assert len(set(validated.tolist())) == len(validated)
    for train, validation in pairs:
        assert len(validation)
        assert sorted([*train, *validation]) == list(range(len(labels)))
        assert set(labels_N[train]) == set(labels)
        if groups is not None:
            assert not set(groups[train]) & set(groups[validation])
    again = splits.folds(labels_N, groups, k=k, seed=seed)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(pairs, again, strict=True))


def test_folds_are_as_even_as_those_of_scikit_learn() -> None:
    """Class counts of the folds differ by at most one, as StratifiedKFold's do, and total sizes too."""
    labels = np.random.default_rng(2).integers(0, 7, 203)
    ours = [np.bincount(labels[v], minlength=7) for _, v in splits.folds(labels, k=5, seed=3)]
    theirs = [np.bincount(labels[v], minlength=7) for _, v in StratifiedKFold(5).split(labels, labels)]
    assert np.ptp(ours, axis=0).max() <= max(1, np.ptp(theirs, axis=0).max())
    assert np.ptp(np.sum(ours, axis=1)) <= 1


def test_grouped_folds_are_about_as_even_as_those_of_scikit_learn() -> None:
    """The spread of class counts over grouped folds is no worse than StratifiedGroupKFold's by more than half."""
    draws = np.random.default_rng(4)
    labels, groups = draws.integers(0, 4, 400), draws.integers(0, 60, 400)
    ours = [np.bincount(labels[v], minlength=4) for _, v in splits.folds(labels, groups, k=5, seed=0)]
    cut = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups)
    theirs = [np.bincount(labels[v], minlength=4) for _, v in cut]
    assert np.std(ours, axis=0).mean() <= 1.5 * np.std(theirs, axis=0).mean() + 0.5


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    together=st.integers(0, 8),
    k=st.integers(2, 6),
    seed=st.integers(0, 2**40),
)
def test_groups_are_dealt_where_they_keep_classes_even(labels: list[int], together: int, k: int, seed: int) -> None:
    """Larger groups first, each to the fold with the fewest of its classes, then the emptiest; so are single images."""
    labels_N = np.array(labels)
    groups = np.maximum(np.arange(len(labels)), together)  # the first ones are one group, the others are alone
    sizes, held = np.bincount(labels_N), np.zeros((k, max(labels) + 1))
    fold_of: dict[int, int] = {}
    numbers = np.unique(groups)
    draws = np.random.Generator(np.random.Philox(key=[seed, 0x666F6C6473]))
    drawn = numbers[draws.permutation(len(numbers))].tolist()
    for group in sorted(drawn, key=lambda number: -int((groups == number).sum())):
        have = np.bincount(labels_N[groups == group], minlength=len(sizes))
        own = have > 0
        spares = [f for f in range(k) if (held[f] + have < sizes)[own].all()]
        if spares and (have < sizes)[own].all():
            cost = {f: (((2 * held[f] + have) * have)[own] / sizes[own]).sum() for f in spares}
            fold_of[group] = min(spares, key=lambda f: (cost[f], held[f].sum(), f))
            held[fold_of[group]] += have
    expected = [np.flatnonzero([fold_of.get(int(g)) == fold for g in groups]).tolist() for fold in range(k)]
    dealt = splits.folds(labels_N, groups, k=k, seed=seed)
    assert [validation.tolist() for _, validation in dealt] == [rows for rows in expected if rows]


def test_another_seed_gives_other_folds() -> None:
    """The seed decides, and nothing else."""
    labels = np.arange(60) % 3
    first, second = (splits.folds(labels, k=5, seed=s)[0][1] for s in (0, 1))
    assert not np.array_equal(first, second)


def test_one_fold_is_refused() -> None:
    """Fewer than two folds cannot validate."""
    with pytest.raises(ValueError, match="at least 2"):
        splits.folds(np.zeros(4, np.int64), k=1, seed=0)


def test_the_written_split_is_a_manifest_of_the_same_split(tmp_path: Path) -> None:
    """splits.csv, copied into the data's root, states the very split that was cut."""
    root = folder(tmp_path / "data", {"cat, black": 10, "dog": 10})
    save(photo(70), root / "dog" / "\udcff name.jpg", format="JPEG")
    data = dataset.read(root)
    splits.write_csv(data, tmp_path / "splits.csv")
    rows = list(csv.DictReader((tmp_path / "splits.csv").open(encoding="utf-8", errors="surrogateescape")))
    assert list(rows[0]) == ["path", "label", "split", "group", "sha256"]
    assert [(r["path"], r["sha256"]) for r in rows] == [(i.path, i.sha256) for i in data.items]
    (root / "splits.csv").write_bytes((tmp_path / "splits.csv").read_bytes())
    again = dataset.read(root / "splits.csv")
    assert {i.path for i in again.test} == {i.path for i in data.test}
    assert again.classes == data.classes
    assert not list(tmp_path.glob(".splits*"))


def test_no_fold_holds_all_groups_of_a_class() -> None:
    """Two groups of a class never stand together in one fold: training on the others would know nothing of it."""
    labels, groups = np.array([0, 0, 1, 0, 2, 1, 2]), np.array([0, 0, 0, 1, 1, 2, 2])
    for seed in range(20):
        for train, _ in splits.folds(labels, groups, k=2, seed=seed):
            assert set(labels[train]) == {0, 1, 2}


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.booleans()), min_size=8, max_size=60),
    seed=st.integers(0, 2**63),
)
def test_a_given_validation_set_is_dealt_to_folds_and_never_trained_on(
    rows: list[tuple[int, int, bool]], seed: int
) -> None:
    """Every validated row is of the given set and validated once; every fold trains on the same others, groups whole."""
    labels, groups, held_out = (np.array(column) for column in zip(*rows, strict=True))
    if not splits.can_hold_out(labels, groups, held_out, k=3):
        with pytest.raises(ValueError, match="cannot be dealt"):
            splits.holdout_folds(labels, groups, held_out, k=3, seed=seed)
        return
    pairs = splits.holdout_folds(labels, groups, held_out, k=3, seed=seed)
    validated = np.concatenate([v for _, v in pairs])
    assert len(pairs) == 3
    assert len(set(validated.tolist())) == len(validated)
    assert held_out[validated].all()
    assert all(len(v) for _, v in pairs)
    for train, _ in pairs:
        assert np.array_equal(train, pairs[0][0])
        assert not set(groups[train]) & set(groups[validated])
        assert set(labels[validated]) <= set(labels[train])
