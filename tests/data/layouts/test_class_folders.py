"""Class folders: the folder below the root is the class; what could be something else is told or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import folder, photo, save
from read_folders import labels, refused

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


def test_class_folders_are_read_at_any_depth(tmp_path: Path) -> None:
    """The folder below the root is the class; deeper folders belong to it."""
    folder(tmp_path, {"cat": 2, "dog/indoors": 1, "dog/out/side": 2})
    listing = dataset.find(tmp_path)
    assert listing.layout == "folders"
    assert labels(tmp_path) == {"cat": 2, "dog": 3}
    assert [e.path for e in listing.entries] == sorted(e.path for e in listing.entries)
    assert {e.given for e in listing.entries} == {""}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """A folder of images called train beside other classes stops; --layout and --exclude decide."""
    folder(tmp_path, {"train": 2, "plane": 2, "car": 2})
    with pytest.raises(DatasetError, match="train could be a class") as caught:
        dataset.find(tmp_path)
    assert "--exclude train" in caught.value.hint
    assert "--layout folders" in caught.value.hint
    as_classes = dataset.find(tmp_path, ReadOptions(layout="folders"))
    assert {e.label for e in as_classes.entries} == {"train", "plane", "car"}
    assert {e.label for e in dataset.find(tmp_path, ReadOptions(exclude=("train",))).entries} == {"plane", "car"}


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    """The same letters, composed on one machine and decomposed on another, are one label."""
    folder(tmp_path / "train", {"caf\u00e9": 1, "bar": 1})
    folder(tmp_path / "test", {"cafe\u0301": 1, "bar": 1}, start=10)
    assert labels(tmp_path) == {"caf\u00e9": 2, "bar": 2}


def test_loose_images_and_empty_class_folders_are_told(tmp_path: Path) -> None:
    """Images beside the class folders have no label; a class folder without images is no class."""
    folder(tmp_path, {"cat": 1, "dog": 1, "empty": 0})
    save(photo(7), tmp_path / "loose.png")
    listing = dataset.find(tmp_path)
    assert labels(tmp_path) == {"cat": 1, "dog": 1}
    assert any("empty/ holds no images" in w for w in listing.warnings)
    assert any("1 image beside the class folders has no label" in w for w in listing.warnings)


def test_domains_of_class_folders_are_told(tmp_path: Path) -> None:
    """Where every class folder holds the same sub-folders, a person probably meant one of them."""
    folder(tmp_path, {"photo/cat": 1, "photo/dog": 1, "sketch/cat": 1, "sketch/dog": 1})
    listing = dataset.find(tmp_path)
    assert labels(tmp_path) == {"photo": 2, "sketch": 2}
    assert any("same subfolders (cat, dog)" in w for w in listing.warnings)


@pytest.mark.parametrize("name", ["test", "unlabeled", "val", "validation_set", "holdout"])
def test_a_folder_beside_classes_that_is_named_like_a_split_stops(tmp_path: Path, name: str) -> None:
    """ok/, nok/ and test/: a class or a set without labels, with the command for each."""
    folder(tmp_path, {"ok": 2, "nok": 2, name: 2})
    error = refused(tmp_path)
    assert f"--exclude {name}" in error.hint
    assert "--layout folders" in error.hint
    assert {e.label for e in dataset.find(tmp_path, ReadOptions(exclude=(name,))).entries} == {"ok", "nok"}


def test_splits_inside_of_class_folders_are_read(tmp_path: Path) -> None:
    """cat/train, cat/test: the class comes first."""
    for number, name in enumerate(("cat", "dog")):
        folder(tmp_path / name, {"train": 3, "test": 1}, start=20 * number)
    read = dataset.find(tmp_path)
    assert read.layout == "class_first"
    assert labels(tmp_path) == {"cat": 4, "dog": 4}
    assert sum(e.given == "test" for e in read.entries) == 2


def test_a_class_that_loses_all_its_files_is_refused(tmp_path: Path) -> None:
    """Where no file of a class is an image, the suffixes are named, and how to leave the class out."""
    folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "bird").mkdir()
    (tmp_path / "bird" / "a.nef").write_bytes(b"II*\0")
    error = refused(tmp_path)
    assert "bird/ holds 1 file, none of them an image that can be read (.nef 1)" in error.what
    assert "--exclude bird" in error.hint
    assert dataset.find(tmp_path, ReadOptions(exclude=("bird",))).entries


def test_a_folder_of_data_sets_is_noticed(tmp_path: Path) -> None:
    """Folders of named folders are classes with a warning; patients and days below a class give none."""
    folder(tmp_path / "sets", {"cars/bmw": 1, "cars/vw": 1, "pets/cat": 1, "pets/dog": 1})
    assert any("if each is a data set: `tl-advise inspect" in w for w in dataset.find(tmp_path / "sets").warnings)
    folder(tmp_path / "patients", {"ill/p1": 1, "ill/p2": 1, "well/p3": 1, "well/p4": 1})
    assert not any("data set" in w for w in dataset.find(tmp_path / "patients").warnings)


def test_data_sets_with_splits_side_by_side_stop(tmp_path: Path) -> None:
    """pets/train/cat beside cars/train/bmw are not the classes pets and cars, unless that is said."""
    sets = {f"{part}/{split}/{name}": 1 for part in ("x", "y") for split in ("train", "test") for name in ("a", "b")}
    folder(tmp_path, sets)
    with pytest.raises(DatasetError, match="x, y each hold splits of class folders"):
        dataset.find(tmp_path)
    assert {e.label for e in dataset.find(tmp_path, ReadOptions(layout="class_first")).entries} == {"x", "y"}
