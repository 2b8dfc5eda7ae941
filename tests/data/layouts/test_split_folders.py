"""Split folders: train, val and test under any of their names; what lies beside them is left out or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import folder
from read_folders import labels, refused

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val"), ("train", "val")),
        (("train", "valid", "test"), ("train", "val", "test")),
        (("Training", "Validation"), ("train", "val")),
        (("train", "test"), ("train", "test")),
        (("train",), ("train",)),
    ],
)
def test_split_folders_are_recognised(tmp_path: Path, names: tuple[str, ...], splits: tuple[str, ...]) -> None:
    """train, val or valid, test, in any case, are splits and not classes."""
    for number, name in enumerate(names):
        folder(tmp_path / name, {"cat": 1, "dog": 1}, start=10 * number)
    listing = dataset.find(tmp_path)
    assert listing.layout == "splits"
    assert {e.given for e in listing.entries} == set(splits)
    assert labels(tmp_path) == {"cat": len(names), "dog": len(names)}


def test_a_test_without_train_is_refused(tmp_path: Path) -> None:
    """test/ alone cannot be learned from."""
    folder(tmp_path / "test", {"cat": 1, "dog": 1})
    with pytest.raises(DatasetError, match="no train/"):
        dataset.find(tmp_path)


def test_unlabelled_images_of_a_split_are_left_out(tmp_path: Path) -> None:
    """A test/ that holds images without class folders has no labels: left out with a warning."""
    folder(tmp_path / "train", {"cat": 2, "dog": 2})
    folder(tmp_path, {"test": 3}, start=20)
    listing = dataset.find(tmp_path)
    assert {e.given for e in listing.entries} == {"train"}
    assert any("3 images outside class folders" in w for w in listing.warnings)
    assert listing.skipped == 3


def test_splits_without_class_folders_are_not_taken_for_classes(tmp_path: Path) -> None:
    """train/ and test/ full of images stop with both readings; --layout folders reads them as classes."""
    folder(tmp_path, {"train": 3, "test": 3})
    error = refused(tmp_path)
    assert "test, train look like splits" in error.what
    assert "train/CLASS/" in error.hint
    assert "--layout folders" in error.hint
    assert {e.label for e in dataset.find(tmp_path, ReadOptions(layout="folders")).entries} == {"train", "test"}


def test_an_unlabelled_folder_beside_train_is_left_out_and_named(tmp_path: Path) -> None:
    """train/{cat,dog} beside unlabeled/ is read as a training set; another folder of images stops."""
    folder(tmp_path / "train", {"cat": 2, "dog": 2})
    folder(tmp_path, {"unlabeled": 2}, start=20)
    read = dataset.find(tmp_path)
    assert {e.label for e in read.entries} == {"cat", "dog"}
    assert any("predict RUN" in w for w in read.warnings)
    folder(tmp_path, {"pictures": 2}, start=30)
    error = refused(tmp_path)
    assert "--exclude pictures" in error.hint
    assert "--layout folders" in error.hint


def test_annotations_beside_train_are_no_class(tmp_path: Path) -> None:
    """A folder without images beside train/ is left out."""
    folder(tmp_path / "train", {"cat": 2, "dog": 2})
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").write_text("<a/>")
    assert labels(tmp_path) == {"cat": 2, "dog": 2}


@pytest.mark.parametrize(
    ("train", "test", "split"),
    [
        ("training_set", "test_set", "test"),
        ("seg_train", "seg_test", "test"),
        ("train_images", "test_images", "test"),
        ("train2017", "val2017", "val"),
        ("Train", "dev", "val"),
        ("train", "eval", "val"),
        ("train", "hold-out", "test"),
        ("01_training", "02 validation", "val"),
    ],
)
def test_splits_under_other_names_are_understood(tmp_path: Path, train: str, test: str, split: str) -> None:
    """Fillers, numbers and synonyms do not hide a split; unusual names are shown."""
    folder(tmp_path / train, {"cat": 2, "dog": 2})
    folder(tmp_path / test, {"cat": 1, "dog": 1}, start=20)
    read = dataset.find(tmp_path)
    assert {e.given for e in read.entries} == {"train", split}
    assert any("read as splits" in w for w in read.warnings)


def test_eval_beside_a_validation_set_is_the_test(tmp_path: Path) -> None:
    """train, dev, eval, as speech and text data sets name them."""
    for number, name in enumerate(("train", "dev", "eval")):
        folder(tmp_path / name, {"cat": 1, "dog": 1}, start=9 * number)
    assert {e.path.split("/")[0]: e.given for e in dataset.find(tmp_path).entries} == {
        "train": "train",
        "dev": "val",
        "eval": "test",
    }


def test_an_empty_class_folder_of_a_split_is_said(tmp_path: Path) -> None:
    """val/dog/ without an image is no silent gap."""
    folder(tmp_path / "train", {"cat": 2, "dog": 2})
    folder(tmp_path / "val", {"cat": 2, "dog": 0}, start=9)
    assert any("val/dog/ holds no images" in w for w in dataset.find(tmp_path).warnings)


def test_classes_one_level_further_down_are_said(tmp_path: Path) -> None:
    """train/pets/cat: the classes are pets and cars; the expression for the others keeps the splits."""
    for number, split in enumerate(("train", "test")):
        folder(tmp_path / split / "pets", {"cat": 2, "dog": 2}, start=20 * number)
        folder(tmp_path / split / "cars", {"vw": 2, "fiat": 2}, start=20 * number + 10)
    listing = dataset.find(tmp_path)
    assert {entry.label for entry in listing.entries} == {"cars", "pets"}
    (warning,) = [warning for warning in listing.warnings if "folders of their own" in warning]
    inner = dataset.read(tmp_path, options=ReadOptions(label_from=warning.split("--label-from '")[1].split("'`")[0]))
    assert (inner.classes, inner.split.rule, inner.split.test) == (("cat", "dog", "fiat", "vw"), "given", 8)


def test_labels_in_names_keep_the_splits_of_their_folders(tmp_path: Path) -> None:
    """train/ and test/ full of images: the given test stays the test, and --exclude leaves out a folder."""
    for number, split in enumerate(("train", "test", "old")):
        folder(tmp_path / split, {"": 4}, start=10 * number)
        for image in sorted((tmp_path / split).iterdir()):
            image.rename(image.with_name(f"{'cat' if int(image.stem) % 2 else 'dog'}_{image.name}"))
    options = ReadOptions(label_from="([a-z]+)_", exclude=("old",))
    data = dataset.read(tmp_path, options=options)
    assert (len(data.items), data.split.rule, data.split.test) == (8, "given", 4)
    assert "folders read as splits: test (test), train (train)." in data.warnings
