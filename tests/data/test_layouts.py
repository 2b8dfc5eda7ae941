"""Folders as people have them: what is read, what is left out, what is refused with one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from photographs import folder, photo, save

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


def labels(root: Path) -> dict[str, int]:
    """Images by label."""
    counts: dict[str, int] = {}
    for entry in dataset.find(root).entries:
        counts[entry.label] = counts.get(entry.label, 0) + 1
    return counts


def test_class_folders_are_read_at_any_depth(tmp_path: Path) -> None:
    """The folder below the root is the class; deeper folders belong to it."""
    folder(tmp_path, {"cat": 2, "dog/indoors": 1, "dog/out/side": 2})
    listing = dataset.find(tmp_path)
    assert listing.layout == "folders"
    assert labels(tmp_path) == {"cat": 2, "dog": 3}
    assert [e.path for e in listing.entries] == sorted(e.path for e in listing.entries)
    assert {e.given for e in listing.entries} == {""}


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


def test_hidden_and_foreign_files_are_left_out_and_counted(tmp_path: Path) -> None:
    """.ipynb_checkpoints, __MACOSX, @eaDir, dot files and files that are no images are not data."""
    folder(tmp_path, {"cat": 2, "dog": 2, ".ipynb_checkpoints": 2, "__MACOSX/cat": 2, "cat/@eaDir": 1, ".git": 1})
    (tmp_path / "cat" / "._0000.jpg").write_bytes(b"\0\5\x16\7")
    (tmp_path / "dog" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "readme.txt").write_text("about")
    (tmp_path / "cat" / "notes.xml").write_text("<a/>")
    listing = dataset.find(tmp_path)
    assert labels(tmp_path) == {"cat": 2, "dog": 2}
    assert listing.skipped == 8


def test_files_without_a_suffix_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    """An image without a suffix is an image, a text without a suffix is not."""
    folder(tmp_path, {"cat": 1, "dog": 1})
    save(photo(5), tmp_path / "cat" / "scan", format="JPEG")
    save(photo(6), tmp_path / "dog" / "scan", format="PNG")
    (tmp_path / "dog" / "LICENSE").write_text("words")
    assert labels(tmp_path) == {"cat": 2, "dog": 2}


def test_odd_names_are_read(tmp_path: Path) -> None:
    """Spaces, emoji, brackets and bytes that are no UTF-8 are names like any other."""
    raw = os.fsdecode(b"caf\xe9")
    folder(tmp_path, {"black cat": 1, "🐶 [dog]": 1, raw: 1})
    save(photo(9), tmp_path / "black cat" / (os.fsdecode(b"\xff\xfe") + " 😀.JPG"), format="JPEG")
    assert labels(tmp_path) == {"black cat": 2, "🐶 [dog]": 1, "caf\\xe9": 1}
    for entry in dataset.find(tmp_path).entries:
        assert (tmp_path / entry.path).is_file()
        assert entry.label.encode("utf-8")


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    """The same letters, composed on one machine and decomposed on another, are one label."""
    folder(tmp_path / "train", {"caf\u00e9": 1, "bar": 1})
    folder(tmp_path / "test", {"cafe\u0301": 1, "bar": 1}, start=10)
    assert labels(tmp_path) == {"caf\u00e9": 2, "bar": 2}


def test_symbolic_links_are_followed_and_loops_are_cut(tmp_path: Path) -> None:
    """Linked folders and files are data; a link back to where it came from ends there; a link to itself is skipped."""
    folder(tmp_path / "data", {"cat": 2, "dog": 2})
    folder(tmp_path / "elsewhere", {"more": 3}, start=10)
    (tmp_path / "data" / "cat" / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    (tmp_path / "data" / "cat" / "up").symlink_to(tmp_path / "data" / "cat")
    (tmp_path / "data" / "dog" / "round").symlink_to("round")
    (tmp_path / "data" / "dog" / "gone.jpg").symlink_to("nowhere.jpg")
    listing = dataset.find(tmp_path / "data")
    assert labels(tmp_path / "data") == {"cat": 5, "dog": 3}
    assert any("not followed: 1" in w for w in listing.warnings)


def test_folders_that_link_to_each_other_are_read_once(tmp_path: Path) -> None:
    """Many folders that all link to each other do not multiply."""
    folder(tmp_path, {"cat": 1, "dog": 1})
    places = [tmp_path / "cat" / f"f{i}" for i in range(8)]
    for start in places:
        start.mkdir()
    for a in places:
        for b in places:
            (a / f"to-{b.name}").symlink_to(b)
    assert labels(tmp_path) == {"cat": 1, "dog": 1}


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


@pytest.mark.parametrize(
    ("name", "make", "what"),
    [
        ("missing", lambda p: None, "no such folder"),
        ("empty", lambda p: p.mkdir(), "is empty"),
        ("file.jpg", lambda p: save(photo(1), p), "is a file, not a folder"),
        ("data.rar", lambda p: p.write_bytes(b"Rar!"), "cannot be read as it is"),
        ("dangling", lambda p: p.symlink_to("nowhere"), "broken symbolic link"),
        ("flat", lambda p: folder(p.parent, {"flat": 3}), "3 images but no class folders"),
        ("texts", lambda p: (p.mkdir(), (p / "a.txt").write_text("a")), "holds no images"),
        ("hollow", lambda p: (p / "cat").mkdir(parents=True), "hold no images"),
    ],
)
def test_what_is_no_data_folder_is_refused_in_one_line(tmp_path: Path, name: str, make: object, what: str) -> None:
    """A missing or empty folder, a file, an archive, images without classes: what, where, and what to do."""
    make(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=what) as caught:
        dataset.read(tmp_path / name)
    assert name in str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folders_without_permission_are_set_aside(tmp_path: Path) -> None:
    """A folder that may not be listed is reported, not fatal."""
    folder(tmp_path, {"cat": 1, "dog": 1, "secret": 1})
    (tmp_path / "secret").chmod(0)
    try:
        listing = dataset.find(tmp_path)
    finally:
        (tmp_path / "secret").chmod(0o700)
    assert any(u.path == "secret/" for u in listing.unreadable)


def refused(path: Path, options: ReadOptions | None = None) -> DatasetError:
    """The one-line error of a folder that is not read."""
    with pytest.raises(DatasetError) as caught:
        dataset.find(path, options)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_splits_without_class_folders_are_not_taken_for_classes(tmp_path: Path) -> None:
    """train/ and test/ full of images stop with both readings; --layout folders reads them as classes."""
    folder(tmp_path, {"train": 3, "test": 3})
    error = refused(tmp_path)
    assert "test, train look like splits" in error.what
    assert "train/CLASS/" in error.hint
    assert "--layout folders" in error.hint
    assert {e.label for e in dataset.find(tmp_path, ReadOptions(layout="folders")).entries} == {"train", "test"}


@pytest.mark.parametrize("name", ["test", "unlabeled", "val", "validation_set", "holdout"])
def test_a_folder_beside_classes_that_is_named_like_a_split_stops(tmp_path: Path, name: str) -> None:
    """ok/, nok/ and test/: a class or a set without labels, with the command for each."""
    folder(tmp_path, {"ok": 2, "nok": 2, name: 2})
    error = refused(tmp_path)
    assert f"--exclude {name}" in error.hint
    assert "--layout folders" in error.hint
    assert {e.label for e in dataset.find(tmp_path, ReadOptions(exclude=(name,))).entries} == {"ok", "nok"}


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


def test_a_data_set_one_folder_too_high_is_named(tmp_path: Path) -> None:
    """train/train/{cat,dog}, data/{cat,dog} and images/train/{cat,dog} stop with the path to give."""
    folder(tmp_path / "a" / "train" / "train", {"cat": 2, "dog": 2})
    folder(tmp_path / "a" / "train" / "test", {"cat": 1, "dog": 1}, start=9)
    folder(tmp_path / "b" / "data", {"cat": 2, "dog": 2})
    folder(tmp_path / "c" / "images" / "train", {"cat": 2, "dog": 2})
    folder(tmp_path / "c" / "images" / "val", {"cat": 1, "dog": 1}, start=9)
    (tmp_path / "c" / "annotations").mkdir()
    (tmp_path / "c" / "annotations" / "a.xml").write_text("<a/>")
    for name, inner in (("a", "train"), ("b", "data"), ("c", "images")):
        assert f"tl-advise inspect {tmp_path / name / inner}`" in refused(tmp_path / name).hint
        assert dataset.find(tmp_path / name / inner).entries


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


def test_splits_inside_of_class_folders_are_read(tmp_path: Path) -> None:
    """cat/train, cat/test: the class comes first."""
    for number, name in enumerate(("cat", "dog")):
        folder(tmp_path / name, {"train": 3, "test": 1}, start=20 * number)
    read = dataset.find(tmp_path)
    assert read.layout == "class_first"
    assert labels(tmp_path) == {"cat": 4, "dog": 4}
    assert sum(e.given == "test" for e in read.entries) == 2


def test_unknown_suffixes_are_looked_into(tmp_path: Path) -> None:
    """.jpg_large, .jpg?w=300 and suffixless AVIF and JPEG 2000 are images; the rest is counted by suffix."""
    folder(tmp_path, {"cat": 1, "dog": 1})
    for name, form in (("a.jpg_large", "JPEG"), ("a.jpg?w=300", "JPEG"), ("avif", "AVIF"), ("jp2", "JPEG2000")):
        save(photo(5), tmp_path / "cat" / name, format=form)
    (tmp_path / "dog" / "a.nef").write_bytes(b"II*\0")
    (tmp_path / "dog" / "notes.txt").write_text("x")
    read = dataset.find(tmp_path)
    assert labels(tmp_path) == {"cat": 5, "dog": 1}
    assert read.skipped_suffixes == {".nef": 1, ".txt": 1}
    assert any("camera raw files are skipped (.nef 1)" in w for w in read.warnings)


def test_a_class_that_loses_all_its_files_is_refused(tmp_path: Path) -> None:
    """Where no file of a class is an image, the suffixes are named, and how to leave the class out."""
    folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "bird").mkdir()
    (tmp_path / "bird" / "a.nef").write_bytes(b"II*\0")
    error = refused(tmp_path)
    assert "bird/ holds 1 file, none of them an image that can be read (.nef 1)" in error.what
    assert "--exclude bird" in error.hint
    assert dataset.find(tmp_path, ReadOptions(exclude=("bird",))).entries


def test_an_empty_class_folder_of_a_split_is_said(tmp_path: Path) -> None:
    """val/dog/ without an image is no silent gap."""
    folder(tmp_path / "train", {"cat": 2, "dog": 2})
    folder(tmp_path / "val", {"cat": 2, "dog": 0}, start=9)
    assert any("val/dog/ holds no images" in w for w in dataset.find(tmp_path).warnings)
