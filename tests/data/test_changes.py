"""Changes of files between two readings of a data set."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from photos import write_crops

from advisor.data import changes, dataset, splits
from advisor.errors import DatasetError


def remove(root: Path) -> str:
    """Remove one image."""
    (root / "class 1" / sorted(os.listdir(root / "class 1"))[0]).unlink()
    return "(removed)"


def add(root: Path) -> str:
    """Add a copy of an image with other bytes at its end."""
    first = root / "class 0" / sorted(os.listdir(root / "class 0"))[0]
    (root / "class 2" / "new.jpg").write_bytes(first.read_bytes() + b"\0")
    return "new.jpg (added)"


def replace(root: Path) -> str:
    """Replace one image by another one, with its old time stamp."""
    one, other = (root / "class 0" / name for name in sorted(os.listdir(root / "class 0"))[:2])
    state = one.stat()
    one.write_bytes(other.read_bytes() + b"\0")
    os.utime(one, ns=(state.st_atime_ns, state.st_mtime_ns))
    return "(changed)"


def relabel(root: Path) -> str:
    """Move one image into the folder of another class."""
    shutil.move(root / "class 1" / sorted(os.listdir(root / "class 1"))[0], root / "class 2" / "moved.jpg")
    return "(removed)"


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Eighteen crops in three classes."""
    return write_crops(tmp_path / "crops", classes=3, each=6, side_px=32)


@pytest.mark.parametrize("change", [remove, add, replace, relabel])
def test_a_later_reading_differs_from_the_split_list(
    crops: Path, tmp_path: Path, change: Callable[[Path], str]
) -> None:
    """Added, removed, changed and moved images are named; without a change there is none."""
    splits.write_csv(dataset.read(str(crops), test_split="none"), tmp_path / "splits.csv")
    assert changes.since_listed(tmp_path / "splits.csv", dataset.read(str(crops), test_split="none")) == ()
    expected = change(crops)
    lines = changes.since_listed(tmp_path / "splits.csv", dataset.read(str(crops), test_split="none"))
    assert any(expected in line for line in lines)
    assert changes.describe(lines).startswith(f"{len(lines)} file")


@pytest.mark.parametrize("change", [remove, replace])
def test_files_that_change_after_they_were_read_are_noticed(crops: Path, change: Callable[[Path], str]) -> None:
    """A removed file, and one of other content under its old time stamp, are noticed; touching a file is no change."""
    read_at_s = time.time()
    data_set = dataset.read(str(crops), test_split="none")
    os.utime(crops / data_set.items[0].path)
    assert changes.since_read(data_set.root, data_set.items, read_at_s) == ()
    expected = change(crops)
    (line,) = changes.since_read(data_set.root, data_set.items, read_at_s)
    assert line.endswith(expected)


def test_a_broken_split_list_is_an_error_in_one_line(crops: Path, tmp_path: Path) -> None:
    """A list without its columns cannot be compared."""
    (tmp_path / "splits.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="cannot be read"):
        changes.since_listed(tmp_path / "splits.csv", dataset.read(str(crops), test_split="none"))


@pytest.mark.parametrize("sides", [("pool", "test"), ("test", "pool")])
def test_what_is_trained_on_counts_as_trained_on(crops: Path, tmp_path: Path, sides: tuple[str, str]) -> None:
    """Equal bytes on both sides of the test are training images, whichever of them the list names last."""
    data = dataset.read(str(crops), test_split="none")
    twice = tuple(dataclasses.replace(data.items[0], split=side) for side in sides)
    splits.write_csv(dataclasses.replace(data, items=twice), tmp_path / "splits.csv")
    assert changes.listed(tmp_path / "splits.csv") == {data.items[0].sha256: "train"}
