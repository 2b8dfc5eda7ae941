"""Duplicates and leaks: which files are the same, and what must leave training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from photographs import folder, save
from PIL import Image

from advisor.data import dataset, duplicates
from advisor.records import Dataset, DuplicateGroup


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """train/ and test/ with an exact leak, a re-encoded leak, a resized pair inside train with other labels."""
    folder(tmp_path / "train", {"cat": 6, "dog": 6}, size=(160, 120))
    folder(tmp_path / "test", {"cat": 3, "dog": 3}, start=50, size=(160, 120))
    shutil.copy(tmp_path / "train/cat/0000.jpg", tmp_path / "test/cat/exact.jpg")
    shutil.copy(tmp_path / "train/cat/0000.jpg", tmp_path / "train/cat/twice.jpg")
    with Image.open(tmp_path / "train/dog/0007.jpg") as image:
        save(image, tmp_path / "test/dog/again.webp", quality=70)
    with Image.open(tmp_path / "train/dog/0008.jpg") as image:
        save(image.resize((96, 72)), tmp_path / "train/cat/smaller.png")
    return dataset.read(tmp_path)


def near(data: Dataset) -> tuple[DuplicateGroup, ...]:
    small, broken = duplicates.thumbnails(data.root, data.items)
    assert not broken
    return duplicates.near(data.root, data.items, small)


def test_equal_bytes_are_one_group(data: Dataset) -> None:
    """All files with the same bytes, wherever they lie."""
    (group,) = duplicates.exact(data.items)
    assert group == DuplicateGroup(
        kind="exact",
        paths=("test/cat/exact.jpg", "train/cat/0000.jpg", "train/cat/twice.jpg"),
        across=True,
        labels_differ=False,
    )


def test_copies_in_other_bytes_are_near_duplicates(data: Dataset) -> None:
    """Re-encoded across the splits: a leak. Resized under another label: a contradiction. Nothing else."""
    leak, contradiction = sorted(near(data), key=lambda g: not g.across)
    assert (leak.paths, leak.across, leak.labels_differ) == (("test/dog/again.webp", "train/dog/0007.jpg"), True, False)
    assert contradiction.paths == ("train/cat/smaller.png", "train/dog/0008.jpg")
    assert (contradiction.across, contradiction.labels_differ) == (False, True)


def test_removal_takes_from_training_and_leaves_no_leak(data: Dataset) -> None:
    """Every pool image of a group that spans both sides goes; no test image does; no leak is left."""
    groups = (*duplicates.exact(data.items), *near(data))
    drop = duplicates.removable(data, groups)
    assert drop == {"train/cat/0000.jpg", "train/cat/twice.jpg", "train/dog/0007.jpg"}
    remaining = dataset.drop_items(data, drop)
    assert remaining.test == data.test
    assert not any(g.across for g in (*duplicates.exact(remaining.items), *near(remaining)))


def test_exact_copies_of_near_duplicates_are_listed_with_them(tmp_path: Path) -> None:
    """A near pair whose one side exists twice is one group of three; equal bytes alone are no near group."""
    root = folder(tmp_path, {"cat": 4, "dog": 4}, size=(120, 120))
    with Image.open(root / "cat/0001.jpg") as image:
        save(image, root / "cat/other.png")
    shutil.copy(root / "cat/other.png", root / "dog/other.png")
    shutil.copy(root / "dog/0005.jpg", root / "dog/copy.jpg")
    (group,) = near(dataset.read(root, test_split="none"))
    assert group.paths == ("cat/0001.jpg", "cat/other.png", "dog/other.png")


def test_small_images_are_judged_on_what_they_have(tmp_path: Path) -> None:
    """Images under 64 pixels are compared on their thumbnails alone."""
    root = folder(tmp_path, {"cat": 8, "dog": 8}, size=(32, 32))
    with Image.open(root / "cat/0002.jpg") as image:
        save(image, root / "dog/same.png")
    assert [g.paths for g in near(dataset.read(root, test_split="none"))] == [("cat/0002.jpg", "dog/same.png")]


def test_photographs_alone_give_no_groups(tmp_path: Path) -> None:
    """Different photographs are not duplicates."""
    data_set = dataset.read(folder(tmp_path, {"cat": 10, "dog": 10}), test_split="none")
    assert duplicates.exact(data_set.items) == ()
    assert near(data_set) == ()
