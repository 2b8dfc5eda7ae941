"""Class folders: the folder below the root is the class; what could be something else is told or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import folder, photo, save
from read_folders import labels, refused

from advisor.data import dataset, profile
from advisor.errors import DatasetError, InputError
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
    assert not dataset.find(tmp_path).warnings


@pytest.mark.parametrize("layout", ["{}", "train/{}", "{}/train"])
def test_two_folders_that_are_one_class_are_said(tmp_path: Path, layout: str) -> None:
    """Side by side, folders whose names differ in how Unicode writes their accents alone are one class, with a warning."""
    names = ("caf\u00e9", "cafe\u0301", "bar", "Bar")
    folder(tmp_path, {layout.format(name): 1 for name in names})
    for other in ("test",) if layout != "{}" else ():
        folder(tmp_path, {layout.replace("train", other).format(name): 1 for name in names[2:]}, start=10)
    assert labels(tmp_path)["caf\u00e9"] == 2
    (note,) = [warning for warning in dataset.find(tmp_path).warnings if "read as one class" in warning]
    assert "2 folders are called 'caf\u00e9'" in note


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


@pytest.mark.parametrize("layout", ["webdataset", "kaggle", "metadata", "parquet", "huggingface", "manifest", "names"])
def test_a_layout_that_is_not_there_is_one_line(tmp_path: Path, layout: str) -> None:
    """--layout of another arrangement, of a folder that is missing, and of a file."""
    folder(tmp_path / "data", {"cat": 2, "dog": 2})
    with pytest.raises(InputError) as caught:
        dataset.find(tmp_path / "data", ReadOptions(layout=layout))
    assert caught.value.hint
    with pytest.raises(DatasetError, match="no such folder"):
        dataset.find(tmp_path / "gone", ReadOptions(layout=layout))


@pytest.mark.parametrize("layout", ["folders", "splits", "class_first"])
def test_a_file_is_no_folder(tmp_path: Path, layout: str) -> None:
    """Class folders are not looked for in an image."""
    folder(tmp_path, {"cat": 1})
    with pytest.raises(DatasetError, match=r"0000\.jpg is no folder"):
        dataset.find(tmp_path / "cat" / "0000.jpg", ReadOptions(layout=layout))


def test_options_that_a_layout_does_not_heed_are_said(tmp_path: Path) -> None:
    """A group column of class folders would leave groups on both sides of the split without a word."""
    folder(tmp_path, {"cat": 2, "dog": 2})
    first = dataset.find(tmp_path, ReadOptions(group_column="patient", root=str(tmp_path))).warnings[0]
    assert first.startswith("--root, --group-column: without effect, since the data are read as folders")
    (tmp_path / "m.csv").write_text("path,label\ncat/0000.jpg,cat\ndog/0002.jpg,dog\n")
    first = dataset.find(tmp_path / "m.csv", ReadOptions(label_from="(a)")).warnings[0]
    assert first.startswith("--label-from: without effect, since the data are read as manifest")


@pytest.mark.parametrize("damage", ["whole", "body"])
def test_a_given_test_that_cannot_be_read_is_said(tmp_path: Path, damage: str) -> None:
    """Header or pixels: a score would be missing, or be of other images, without a word."""
    for number, split in enumerate(("train", "test")):
        folder(tmp_path / split, {"cat": 4, "dog": 4}, start=10 * number)
    for image in (tmp_path / "test").rglob("*.jpg"):
        content = image.read_bytes()
        image.write_bytes(content[: len(content) // 2] if damage == "body" else b"damaged")
    warnings = profile.decode(dataset.read(tmp_path)).dataset.warnings
    beginning = {"whole": "the given test split is not used", "body": "no image is left in the test set"}[damage]
    assert any(warning.startswith(beginning) for warning in warnings)
