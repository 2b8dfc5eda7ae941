"""Similar images are kept together where the tool itself makes a split, and a recipe lists which ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from photographs import folder, photo, save

from advisor.data import dataset, profile, splits
from advisor.data.similarity import joining
from advisor.records import Dataset
from advisor.records.data import ReadOptions

SIZE = (96, 80)


def bursts(root: Path, *, classes: int = 2, series: int = 12, frames: int = 4, start: int = 0) -> Path:
    """Write `series` photographs per class, each `frames` times in other bytes."""
    for k in range(classes):
        for number in range(series):
            picture = photo(start + classes * number + k, SIZE)
            for frame in range(frames):
                save(picture, root / f"c{k}" / f"{number:02d}-{frame}.jpg", quality=95 - 8 * frame)
    return root


def series_of(path: str) -> str:
    return path.rpartition("-")[0]


def decoded(root: Path, **options: ReadOptions) -> profile.Decoded:
    return profile.decode(dataset.read(root, **options))


def crossing(data: Dataset) -> set[str]:
    """Return the series on both sides of the test cut or of a fold."""
    sides = {series_of(i.path) for i in data.pool} & {series_of(i.path) for i in data.test}
    groups = splits.groups_of(data.pool)
    labels = np.array([i.label for i in data.pool])
    for train, held_out in splits.folds(labels, groups, k=5, seed=0):
        sides |= {series_of(data.pool[i].path) for i in train} & {series_of(data.pool[i].path) for i in held_out}
    return sides


def test_no_series_crosses_the_cut_or_a_fold(tmp_path: Path) -> None:
    """Bursts without a given split: no leak is left, and about a fifth of the images is still held out."""
    root = bursts(tmp_path)
    before = dataset.read(root)
    data = profile.decode(before).dataset
    assert crossing(before)
    assert not crossing(data)
    assert 16 <= data.split.test <= 24
    assert data.joined is not None
    assert (data.joined.images, data.joined.groups) == (96, 24)
    measured = profile.measure(before, deep=True)
    assert profile.leaks(measured) == ()
    assert measured.joined == data.joined_counts
    assert not any("divides" in warning for warning in measured.warnings)


def test_nothing_changes_without_similar_images(tmp_path: Path) -> None:
    """The data set is the very same, hence its cut and its folds."""
    data = dataset.read(folder(tmp_path, {"cat": 10, "dog": 10}))
    assert profile.decode(data).dataset == data


def test_a_recipe_lists_what_was_joined(tmp_path: Path) -> None:
    """From the list alone follow the same splits; without a list (older recipes) nothing is joined."""
    before = dataset.read(bursts(tmp_path))
    data = profile.decode(before).dataset
    assert joining.rejoin(before, data.joined) == data
    assert joining.rejoin(before, None) == before
    similar = profile.decode(before).similar
    assert data.joined == joining.join(before, similar).joined


def test_a_given_test_is_never_changed(tmp_path: Path) -> None:
    """Series are joined within the pool only; a leak into the test is warned of as before."""
    bursts(tmp_path / "train")
    bursts(tmp_path / "test", series=3)
    before = dataset.read(tmp_path)
    data = profile.decode(before).dataset
    assert [i.split for i in data.items] == [i.split for i in before.items]
    assert all(not i.group for i in data.test)
    measured = profile.measure(before, deep=True)
    assert measured.warnings[0].startswith("leak: 24 training images")
    groups = splits.groups_of(data.pool)
    assert len(set(groups.tolist())) == 24


def test_a_given_validation_set_keeps_its_border(tmp_path: Path) -> None:
    """Training images are joined with each other, not with a validation set that validates; with a pooled one they are."""
    bursts(tmp_path / "train", frames=3)
    bursts(tmp_path / "val", series=24, frames=1)
    bursts(tmp_path / "test", start=100)
    for path in (tmp_path / "val").rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + b"other bytes")
    data = decoded(tmp_path).dataset
    assert data.holds_out_val
    assert not any(i.group for i in data.pool if i.given == "val")
    assert all(i.group for i in data.pool if i.given == "train")
    pooled = decoded(tmp_path, options=ReadOptions(val="pool")).dataset
    train, val = ({i.group for i in pooled.pool if i.given == given} for given in ("train", "val"))
    assert train == val - {""}


@pytest.mark.parametrize("series", [1, 2])
def test_a_class_of_too_few_series_stays_divisible(tmp_path: Path, series: int) -> None:
    """Whole series would leave it without test or validation: it is divided as before, with a hint at a group column."""
    bursts(tmp_path, series=series, frames=8)
    before = dataset.read(tmp_path)
    assert profile.decode(before).dataset == before
    warnings = profile.measure(before, deep=True).warnings
    assert any("divides them" in warning for warning in warnings)
    assert any(
        f"c0: {8 * series} images in {series} series" in warning and "group column" in warning for warning in warnings
    )


def test_groups_of_a_table_grow_by_similar_images(tmp_path: Path) -> None:
    """A series whose images stand in two groups of the table joins both, under one name."""
    root = bursts(tmp_path, series=6)
    rows = [
        f"c{k}/{n:02d}-{f}.jpg,c{k},p{k}{n}{'x' if f else ''}" for k in range(2) for n in range(6) for f in range(4)
    ]
    (root / "labels.csv").write_text("\n".join(["path,label,group", *rows]) + "\n")
    before = dataset.read(root / "labels.csv")
    groups = {}
    for item in profile.decode(before).dataset.items:
        groups.setdefault(series_of(item.path), set()).add(item.group)
    assert all(len(names) == 1 for names in groups.values())
    assert all(name.startswith("p") for names in groups.values() for name in names)
