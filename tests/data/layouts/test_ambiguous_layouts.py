"""Folders whose names or neighbours speak for another reading: understood, or refused with the command for each reading."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from photographs import folder
from read_folders import refused

from advisor.data import dataset
from advisor.errors import InputError
from advisor.records.data import ReadOptions


def splits(root: Path) -> dict[str, str]:
    """The split that each top folder is read as."""
    return {entry.path.split("/")[0]: entry.given for entry in dataset.find(root).entries}


@pytest.mark.parametrize(
    ("train", "test", "split"),
    [
        ("trainset", "testset", "test"),
        ("TrainingData", "TestingData", "test"),
        ("trainval", "test", "test"),
        ("train", "tests", "test"),
        ("train", "validate", "val"),
        ("split=train", "split=test", "test"),
        ("train (1)", "test (1)", "test"),
        ("train_A", "test_A", "test"),
        ("x-train", "x-val", "val"),
        ("tr", "te", "test"),
        ("entraînement", "test", "test"),
        ("entrenamiento", "validación", "val"),
        ("treino", "teste", "test"),
        ("Trainingsdaten", "Testdaten", "test"),
        ("训练集", "测试集", "test"),
        ("обучение", "тест", "test"),
        ("훈련", "테스트", "test"),
    ],
)
def test_splits_in_other_spellings_and_languages_are_splits(tmp_path: Path, train: str, test: str, split: str) -> None:
    """A joined filler, a plural, a shared suffix, a short form or another language never makes two classes of two splits."""
    folder(tmp_path / train, {"cat": 1, "dog": 1})
    folder(tmp_path / test, {"cat": 1, "dog": 1}, start=9)
    assert splits(tmp_path) == {train: "train", test: split}


@pytest.mark.parametrize(
    "names", [("test tube", "petri dish"), ("tr", "cz"), ("trainer", "boot"), ("valley", "hill"), ("0", "1")]
)
def test_ordinary_classes_are_no_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    """A class name that only begins like a split, or holds one of its words, stays a class."""
    folder(tmp_path, dict.fromkeys(names, 2))
    assert {entry.label for entry in dataset.find(tmp_path).entries} == set(names)


@pytest.mark.parametrize("names", [("mytrain", "mytest"), ("learn", "test"), ("train_small", "test_large")])
def test_what_could_be_splits_stops_and_names_the_training_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    """Two folders with the same class folders, one named somewhat like a split, stop with both readings."""
    for number, name in enumerate(names):
        folder(tmp_path / name, {"cat": 1, "dog": 1}, start=9 * number)
    error = refused(tmp_path)
    assert f"tl-advise inspect {tmp_path / names[0]}`" in error.hint
    assert "--layout folders" in error.hint


@pytest.mark.parametrize("table", ["train.csv", "train_labels.csv", "labels.csv"])
def test_a_table_of_the_training_images_is_not_applied_to_the_test(tmp_path: Path, table: str) -> None:
    """Where train/ and test/ hold files of the same names, the table labels those of train/."""
    folder(tmp_path, {"train": 4, "test": 4})
    rows = "".join(f"{n:04d},{'cat' if n % 2 else 'dog'}\n" for n in range(4))
    (tmp_path / table).write_text("id,label\n" + rows)
    for image in (tmp_path / "test").iterdir():
        image.rename(image.with_name(f"{int(image.stem) - 4:04d}.jpg"))
    listing = dataset.find(tmp_path)
    assert {entry.path.split("/")[0] for entry in listing.entries} == {"train"}
    assert any("test/ holds 4 images without labels" in warning for warning in listing.warnings)


def test_files_in_several_folders_are_not_guessed(tmp_path: Path) -> None:
    """Where two folders hold the files of a table, the command for one of them is given; images/ is usual."""
    for name in ("left", "right", "images"):
        folder(tmp_path, {name: 2})
        for number, image in enumerate(sorted((tmp_path / name).iterdir())):
            image.rename(image.with_name(f"{number}.jpg"))
    table = tmp_path / "names.csv"
    table.write_text("path,label\n0.jpg,cat\n1.jpg,dog\n")
    assert {entry.path for entry in dataset.find(table).entries} == {"images/0.jpg", "images/1.jpg"}
    (tmp_path / "images").rename(tmp_path / "middle")
    error = refused(table)
    assert "left, middle, right" in error.what
    assert f"--root {tmp_path / 'left'}" in error.hint


def test_labels_of_a_table_and_names_of_folders_stop_where_they_differ(tmp_path: Path) -> None:
    """images/ and more/ beside a table: both readings. A table that repeats the folders changes nothing."""
    folder(tmp_path, {"ok": 2, "nok": 2})
    paths = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.jpg"))]
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{p},{p.split('/')[0]}\n" for p in paths))
    assert {entry.label for entry in dataset.find(tmp_path).entries} == {"ok", "nok"}
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{p},{n % 2}\n" for n, p in enumerate(paths)))
    error = refused(tmp_path)
    assert f"tl-advise inspect {tmp_path / 't.csv'}`" in error.hint
    assert "--layout folders" in error.hint


def test_images_that_a_table_does_not_list_are_said(tmp_path: Path) -> None:
    """More images in the listed folder, and a folder of images beside it, are counted in a warning."""
    folder(tmp_path, {"images": 4, "more": 2})
    paths = [path.relative_to(tmp_path).as_posix() for path in sorted((tmp_path / "images").iterdir())]
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{paths[0]},cat\n{paths[1]},dog\n{paths[2]},dog\n")
    (note,) = [warning for warning in dataset.find(tmp_path).warnings if "without a label in the table" in warning]
    assert f"1 image (first: {paths[3]}), more/" in note
    assert not [w for w in dataset.find(tmp_path / "metadata.csv").warnings if "more/" in w]


def test_images_whose_row_has_no_label_are_in_the_table(tmp_path: Path) -> None:
    """A row without a label leaves its image out, which nothing calls missing in the table."""
    folder(tmp_path, {"images": 4})
    paths = [path.relative_to(tmp_path).as_posix() for path in sorted((tmp_path / "images").iterdir())]
    (tmp_path / "t.csv").write_text(f"path,label\n{paths[0]},cat\n{paths[1]},dog\n{paths[2]},\n{paths[3]},dog\n")
    notes = dataset.find(tmp_path / "t.csv").warnings
    assert any("1 row without a label is left out (line 4)" in note for note in notes)
    assert f"without a label in the table, so skipped: 1 image (first: {paths[2]})." in notes


def test_one_table_per_split_is_read(tmp_path: Path) -> None:
    """train.csv, val.csv and test.csv are the splits; a file in two of them is refused."""
    folder(tmp_path, {"images": 6})
    paths = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.jpg"))]
    for number, name in enumerate(("train", "val", "test")):
        rows = "".join(f"{path},{'cd'[n]}\n" for n, path in enumerate(paths[2 * number : 2 * number + 2]))
        (tmp_path / f"{name}.csv").write_text("path,label\n" + rows)
    assert [entry.given for entry in dataset.find(tmp_path).entries] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    (tmp_path / "val.csv").write_text(f"path,label\n{paths[0]},c\n")
    assert "tables of several splits" in refused(tmp_path).what


def test_the_data_set_is_found_several_folders_down(tmp_path: Path) -> None:
    """a/b/c/{cat,dog} and images/train beside labels/train: the path to give, at any depth."""
    folder(tmp_path / "one" / "a" / "b" / "c", {"cat": 1, "dog": 1})
    assert f"tl-advise inspect {tmp_path / 'one' / 'a' / 'b' / 'c'}`" in refused(tmp_path / "one").hint
    folder(tmp_path / "two" / "images" / "train", {"cat": 1, "dog": 1})
    folder(tmp_path / "two" / "labels", {"train": 2}, start=9)
    assert f"tl-advise inspect {tmp_path / 'two' / 'images' / 'train'}`" in refused(tmp_path / "two").hint


@pytest.mark.parametrize("names", [("fold1", "fold2", "fold3"), ("patient_01", "patient_02")])
def test_numbered_folders_of_the_same_classes_stop(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Folds or patients are no classes: the expression for the folders in them is given, and works."""
    for number, name in enumerate(names):
        folder(tmp_path / name, {"benign": 1, "malignant": 1}, start=9 * number)
    error = refused(tmp_path)
    pattern = error.hint.split("--label-from '")[1].split("'`")[0]
    listing = dataset.find(tmp_path, ReadOptions(label_from=pattern))
    assert {entry.label for entry in listing.entries} == {"benign", "malignant"}


def test_a_split_inside_of_the_training_classes_stops(tmp_path: Path) -> None:
    """train/val beside train/cat is no class by itself; a class of every split may be called train."""
    folder(tmp_path / "a" / "train", {"cat": 1, "dog": 1, "val": 1})
    error = refused(tmp_path / "a")
    assert "--exclude val" in error.hint
    assert {e.label for e in dataset.find(tmp_path / "a", ReadOptions(exclude=("val",))).entries} == {"cat", "dog"}
    assert "val" in {e.label for e in dataset.find(tmp_path / "a", ReadOptions(layout="splits")).entries}
    for number, split in enumerate(("train", "test")):
        folder(tmp_path / "b" / split, {"train": 1, "plane": 1}, start=9 * number)
    assert {entry.label for entry in dataset.find(tmp_path / "b").entries} == {"train", "plane"}


def test_two_folders_of_one_split_are_said(tmp_path: Path) -> None:
    """train/ and training/ are read together."""
    for number, split in enumerate(("train", "training", "test")):
        folder(tmp_path / split, {"cat": 1, "dog": 1}, start=9 * number)
    assert any("together as the train split: train, training" in w for w in dataset.find(tmp_path).warnings)


def test_a_sample_submission_gives_no_labels(tmp_path: Path) -> None:
    """images/ beside train.csv, test.csv without labels, and made-up labels: train.csv is the table."""
    folder(tmp_path, {"images": 4})
    names = [path.stem for path in sorted((tmp_path / "images").iterdir())]
    (tmp_path / "train.csv").write_text(f"image_id,label\n{names[0]},cat\n{names[1]},dog\n")
    (tmp_path / "test.csv").write_text(f"image_id\n{names[2]}\n{names[3]}\n")
    (tmp_path / "sample_submission.csv").write_text(f"image_id,label\n{names[2]},cat\n{names[3]},cat\n")
    assert [(e.path, e.label) for e in dataset.find(tmp_path).entries] == [
        (f"images/{names[0]}.jpg", "cat"),
        (f"images/{names[1]}.jpg", "dog"),
    ]


def test_metadata_that_overrules_the_folders_say_so(tmp_path: Path) -> None:
    """The labels of metadata.csv come first, as in Hugging Face; a warning names the folders."""
    folder(tmp_path, {"cat": 1, "dog": 1})
    paths = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.jpg"))]
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{paths[0]},old\n{paths[1]},young\n")
    assert any("not the names of the folders (cat, dog)" in w for w in dataset.find(tmp_path).warnings)


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    """A clone without its images: the command that fetches them."""
    folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "dog" / "pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    (unreadable,) = dataset.read(tmp_path).unreadable
    assert "git lfs pull" in unreadable.reason


def test_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    """images/ and masks/ stop, with --layout folders for who means it."""
    folder(tmp_path, {"images": 2, "masks": 2})
    assert "--layout folders" in refused(tmp_path).hint
    assert dataset.find(tmp_path, ReadOptions(layout="folders")).entries


@pytest.mark.parametrize("images", ["images", "images/train"], ids=["COCO", "YOLO"])
def test_annotations_of_another_task_are_named(tmp_path: Path, images: str) -> None:
    """Images without class folders beside boxes or masks: no class can be read, and no folder would help."""
    folder(tmp_path, {images: 2, images.replace("train", "val"): 2})
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text("{}")
    message = str(refused(tmp_path))
    assert "annotations of detection or segmentation" in message
    assert "table of path,label" in message
    folder(tmp_path, {"images/train/cat": 2, "images/train/dog": 2, "images/val/cat": 2, "images/val/dog": 2})
    assert "inspect" in refused(tmp_path).hint  # class folders: the folder to give


def test_a_link_to_a_folder_above_brings_no_other_classes_in(tmp_path: Path) -> None:
    """cat/all -> .. would make the images of dog/ cats."""
    folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "cat" / "all").symlink_to("..")
    (tmp_path / "cat" / "deep").mkdir()
    (tmp_path / "cat" / "deep" / "up").symlink_to(tmp_path)
    listing = dataset.find(tmp_path)
    assert len(listing.entries) == 4
    assert any("not followed: 2" in warning for warning in listing.warnings)


def test_labels_in_file_names_are_offered(tmp_path: Path) -> None:
    """cat_1.jpg, dog_1.jpg in one folder: the whole command, and it works."""
    folder(tmp_path, {"all": 4})
    for number, image in enumerate(sorted((tmp_path / "all").iterdir())):
        image.rename(image.with_name(f"{'cat' if number % 2 else 'dog'}_{number}.jpg"))
    error = refused(tmp_path / "all")
    assert "(cat, dog)" in error.hint
    pattern = error.hint.split("--label-from '")[1].split("'`")[0]
    listing = dataset.find(tmp_path / "all", ReadOptions(label_from=pattern))
    assert {entry.label for entry in listing.entries} == {"cat", "dog"}


def test_an_empty_path_is_not_the_current_folder() -> None:
    """A variable that was not set in a script is named."""
    for read in (dataset.find, dataset.read):
        with pytest.raises(InputError, match="path of the data set is empty") as caught:
            read("")
        assert caught.value.hint


def test_an_archive_in_an_archive_is_read(tmp_path: Path) -> None:
    """One archive that holds nothing else but another; errors name the archive that was given, not the cache."""
    source = folder(tmp_path / "source", {"cat": 2, "dog": 2})
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        for path in source.rglob("*.jpg"):
            archive.write(path, path.relative_to(source))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
    assert {entry.label for entry in dataset.find(tmp_path / "outer.zip").entries} == {"cat", "dog"}
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("cat.7z", b"7z\xbc\xaf\x27\x1c")
        archive.writestr("dog.7z", b"7z\xbc\xaf\x27\x1c")
    error = refused(tmp_path / "two.zip")
    assert "two.zip holds no images but archives (cat.7z, dog.7z)" in error.what


@pytest.mark.parametrize(
    ("member", "what"), [("cat/" + "n" * 300 + ".jpg", "too long"), ("cat", "a file and a folder have the same name")]
)
def test_a_member_that_cannot_be_a_file_is_named(tmp_path: Path, member: str, what: str) -> None:
    """A name that the file system refuses is no full disk."""
    source = folder(tmp_path / "source", {"cat": 1, "dog": 1})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in source.rglob("*.jpg"):
            archive.write(path, path.relative_to(source))
        archive.writestr(member, b"x")
    assert what in refused(tmp_path / "a.zip").what


@pytest.mark.parametrize(("name", "what"), [("a.rar", "Unpack it"), ("a.7z", "Unpack it"), ("a.xlsx", "as CSV")])
def test_files_that_must_be_converted_first_say_how(tmp_path: Path, name: str, what: str) -> None:
    """Archives and tables of other programs."""
    (tmp_path / name).write_bytes(b"x")
    assert what in refused(tmp_path / name).hint
