"""From a path to a data set: roles of given splits, the fingerprint, files that cannot be read."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from photographs import folder, photo, save

from advisor.data import dataset
from advisor.errors import DatasetError, InputError
from advisor.records.data import ReadOptions, ValidationUse


def test_every_file_is_hashed_and_measured(tmp_path: Path) -> None:
    """Items carry label, hash, displayed size, mode and bytes, sorted by path."""
    root = folder(tmp_path, {"cat": 2, "dog": 1})
    data = dataset.read(root, test_split="none")
    assert data.classes == ("cat", "dog")
    assert [i.path for i in data.items] == ["cat/0000.jpg", "cat/0001.jpg", "dog/0002.jpg"]
    item = data.items[2]
    content = (root / item.path).read_bytes()
    assert (item.label, item.sha256, item.bytes) == (1, hashlib.sha256(content).hexdigest(), len(content))
    assert (item.width, item.height, item.mode) == (48, 40, "RGB")
    assert data.split == dataset.DataSplit(rule="none", fraction=0.0, pool=3, test=0)


def test_without_a_given_test_a_fifth_is_cut(tmp_path: Path) -> None:
    """Class folders are cut 80 : 20 by content; the same files elsewhere are cut the same way."""
    first = dataset.read(folder(tmp_path / "a", {"cat": 10, "dog": 15}))
    assert (first.split.rule, first.split.fraction, first.split.pool, first.split.test) == ("cut", 0.2, 20, 5)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = dataset.read(tmp_path / "b")
    assert [i.path for i in second.test] == [i.path for i in first.test]
    assert second.fingerprint == first.fingerprint


def test_duplicates_are_never_on_both_sides_of_the_cut(tmp_path: Path) -> None:
    """Files with equal bytes go to the same side."""
    root = folder(tmp_path, {"cat": 12, "dog": 12})
    for number in range(12):
        shutil.copy(root / "cat" / f"{number:04d}.jpg", root / "cat" / f"copy {number}.jpg")
    data = dataset.read(root)
    assert not {i.sha256 for i in data.pool} & {i.sha256 for i in data.test}
    assert data.split.test >= 4


@pytest.mark.parametrize(
    ("names", "locked"),
    [
        (("train", "val"), "val"),
        (("train", "val", "test"), "test"),
        (("train", "test"), "test"),
    ],
)
def test_a_given_split_becomes_the_locked_test(tmp_path: Path, names: tuple[str, ...], locked: str) -> None:
    """val is the test where there is no other, and joins the pool where there is one; "none" does not unlock it."""
    for number, name in enumerate(names):
        folder(tmp_path / name, {"cat": 3, "dog": 3}, start=20 * number)
    for choice in dataset.TEST_SPLITS:
        data = dataset.read(tmp_path, test_split=choice)
        assert {i.given for i in data.test} == {locked}
        assert {i.given for i in data.pool} == set(names) - {locked}
        assert (data.split.rule, data.split.fraction) == ("given", 0.0)


def test_a_manifest_states_test_and_groups(tmp_path: Path) -> None:
    """Splits and groups of a manifest are kept; without a split column the cut keeps groups whole."""
    root = folder(tmp_path, {"img": 24})
    rows = [f"img/{i:04d}.jpg,{'cat' if i % 2 else 'dog'},p{i // 4}" for i in range(24)]
    (root / "m.csv").write_text("path,label,group\n" + "\n".join(rows))
    data = dataset.read(root / "m.csv")
    assert data.has_groups
    assert data.layout == "manifest"
    assert data.test
    assert not {i.group for i in data.test} & {i.group for i in data.pool}


def test_a_class_only_in_the_test_is_left_out(tmp_path: Path) -> None:
    """What was never seen cannot be scored: its images are left out with a warning."""
    folder(tmp_path / "train", {"cat": 3, "dog": 3})
    folder(tmp_path / "test", {"cat": 2, "dog": 2, "zebra": 2}, start=20)
    data = dataset.read(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.split.test == 4
    assert any("1 class only in the test set (zebra): 2 images left out" in w for w in data.warnings)


def test_a_test_of_other_classes_is_no_test(tmp_path: Path) -> None:
    """A test that shares no class with train (test/unknown/) is not used; the next best split is."""
    folder(tmp_path / "train", {"cat": 5, "dog": 5})
    folder(tmp_path / "val", {"cat": 2, "dog": 2}, start=20)
    folder(tmp_path / "test", {"unknown": 4}, start=40)
    data = dataset.read(tmp_path)
    assert {i.given for i in data.test} == {"val"}
    assert any("shares no class" in w for w in data.warnings)


def test_the_fingerprint_is_the_stated_hash(tmp_path: Path) -> None:
    """SHA-256 over the sorted (given split, label, relative path, SHA-256 of bytes), one line each."""
    folder(tmp_path / "train", {"b": 2, "a": 2})
    folder(tmp_path / "val", {"a": 1, "b": 1}, start=9)
    lines = []
    for path in tmp_path.rglob("*.jpg"):
        split, label, _ = path.relative_to(tmp_path).parts
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append("\0".join((split, label, path.relative_to(tmp_path).as_posix(), digest)).encode() + b"\n")
    assert dataset.read(tmp_path).fingerprint == hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def test_the_fingerprint_sees_contents_names_and_labels_only(tmp_path: Path) -> None:
    """Times and places do not matter; a byte, a name, a label, a missing file does."""
    root = folder(tmp_path / "a", {"cat": 3, "dog": 3})
    (root / "dog" / "broken.jpg").write_bytes(b"no image")
    first = dataset.read(root).fingerprint
    os.utime(root / "cat" / "0000.jpg", (1, 1))
    (root / "cat" / ".hidden").write_text("x")
    shutil.copytree(root, tmp_path / "b")
    assert dataset.read(root).fingerprint == first
    assert dataset.read(tmp_path / "b", test_split="none").fingerprint == first
    seen = {first}
    for change in (
        lambda: (root / "cat" / "0000.jpg").rename(root / "cat" / "other.jpg"),
        lambda: (root / "cat" / "0001.jpg").rename(root / "dog" / "0001.jpg"),
        lambda: (root / "cat" / "0002.jpg").write_bytes((root / "cat" / "0002.jpg").read_bytes() + b"\0"),
        lambda: (root / "dog" / "broken.jpg").unlink(),
    ):
        change()
        seen.add(dataset.read(root).fingerprint)
    assert len(seen) == 5


def test_unreadable_files_are_set_aside_and_listed(tmp_path: Path) -> None:
    """Empty files, words, bombs, dangling links: each is listed with its reason, the rest is read."""
    root = folder(tmp_path, {"cat": 3, "dog": 3})
    (root / "cat" / "empty.jpg").write_bytes(b"")
    (root / "cat" / "words.png").write_text("not a picture")
    (root / "dog" / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(root / "dog" / "pipe.jpg")
    data = dataset.read(root, test_split="none")
    assert len(data.items) == 6
    assert [(u.path, u.reason) for u in data.unreadable] == [
        ("cat/empty.jpg", "empty file (0 bytes)"),
        ("cat/words.png", "not an image that Pillow can read"),
        ("dog/gone.jpg", "broken symbolic link"),
        ("dog/pipe.jpg", "not a regular file"),
    ]


def test_a_folder_of_broken_files_is_refused_in_one_line(tmp_path: Path) -> None:
    """Where nothing is left, the first file and its reason are named."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"none of the 2 images can be read \(first: cat/a.jpg: empty file"):
        dataset.read(tmp_path)


def test_a_class_without_a_readable_image_is_refused(tmp_path: Path) -> None:
    """A class whose files are all broken is named with its first file: it would vanish without a word."""
    root = folder(tmp_path, {"cat": 3, "dog": 3})
    save(photo(1), root / "bird" / "a.jpg").write_bytes(b"broken")
    with pytest.raises(DatasetError, match=r"class bird has no readable image: none of its 1 \(first: bird/a.jpg"):
        dataset.read(root)


def test_dropping_items_renumbers_classes_and_recounts(tmp_path: Path) -> None:
    """Where a class loses its last pool image, it goes, its test images too; fingerprint and cut stay."""
    folder(tmp_path / "train", {"a": 1, "b": 2, "c": 2})
    folder(tmp_path / "test", {"a": 1, "b": 1, "c": 1}, start=20)
    data = dataset.read(tmp_path)
    remaining = dataset.drop_items(data, ["train/a/0000.jpg"])
    assert remaining.classes == ("b", "c")
    assert [(i.path, i.label) for i in remaining.test] == [("test/b/0021.jpg", 0), ("test/c/0022.jpg", 1)]
    assert (remaining.split.pool, remaining.split.test, remaining.split.rule) == (4, 2, "given")
    assert remaining.fingerprint == data.fingerprint
    assert any("removed from the test set too: a" in w for w in remaining.warnings)
    assert data.classes == ("a", "b", "c")


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    """The caller hears rising counts, the last one complete."""
    heard: list[tuple[int, int]] = []
    dataset.read(folder(tmp_path, {"cat": 60, "dog": 40}, size=(8, 8)), progress=lambda n, of: heard.append((n, of)))
    assert heard == sorted(heard)
    assert heard[-1] == (100, 100)


def test_an_unknown_test_split_is_refused(tmp_path: Path) -> None:
    """Only auto and none are known."""
    with pytest.raises(InputError, match="unknown test split"):
        dataset.read(tmp_path, test_split="half")


def test_records_are_not_changed_by_reading_again(tmp_path: Path) -> None:
    """Two readings of the same folder are equal records."""
    root = folder(tmp_path, {"cat": 6, "dog": 6})
    assert dataset.read(root) == dataset.read(root)
    assert dataclasses.is_dataclass(dataset.read(root))


def test_a_test_of_other_classes_never_enters_training(tmp_path: Path) -> None:
    """train/{cat,dog} beside test/unknown: no class "unknown" is learned, and the test set is cut from train alone."""
    folder(tmp_path / "train", {"cat": 10, "dog": 10})
    folder(tmp_path / "test", {"unknown": 6}, start=40)
    read = dataset.read(tmp_path)
    assert read.classes == ("cat", "dog")
    assert {i.given for i in read.items} == {"train"}
    assert read.split.rule == "cut"
    assert any("6 images left out" in w and "predict" in w for w in read.warnings)


@pytest.mark.parametrize(("val", "held_out"), [("holdout", True), ("pool", False)])
def test_a_given_validation_set_is_used_as_one(tmp_path: Path, val: ValidationUse, held_out: bool) -> None:
    """Beside a given test set, val/ validates by default; --val pool makes it training data; either is said."""
    for number, name in enumerate(("train", "val", "test")):
        folder(tmp_path / name, {"cat": 4, "dog": 4}, start=20 * number)
    read = dataset.read(tmp_path, options=ReadOptions(val=val))
    assert read.holds_out_val is held_out
    assert read.split.pool == 16
    assert any("--val pool" in w for w in read.warnings)


def test_a_validation_set_that_is_the_test_set_is_not_held_out_twice(tmp_path: Path) -> None:
    """train/ and val/ alone: val is the test set, and folds are drawn from train."""
    for number, name in enumerate(("train", "val")):
        folder(tmp_path / name, {"cat": 4, "dog": 4}, start=20 * number)
    assert not dataset.read(tmp_path).holds_out_val


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("Cat", "cat"), "'Cat' (5), 'cat' (5)"),
        (("1", "1.0"), "'1' (5), '1.0' (5)"),
        (("black cat", "black_cat"), "'black cat' (5), 'black_cat' (5)"),
        (("'cat'", "cat"), "\"'cat'\" (5), 'cat' (5)"),
        (("café", os.fsdecode(b"caf\xe9")), "'caf\\\\xe9' (5), 'café' (5)"),
    ],
)
def test_labels_that_are_nearly_the_same_are_named(tmp_path: Path, names: tuple[str, str], shown: str) -> None:
    """Case, number format, spaces, quotes and encoding: named first, and neither merged nor dropped."""
    for number, name in enumerate((*names, "other")):
        folder(tmp_path, {name: 5}, start=20 * number)
    read = dataset.read(tmp_path)
    assert len(read.classes) == 3
    assert "differ only in" in read.warnings[0]
    assert shown in read.warnings[0]


def test_a_given_test_named_in_another_case_is_said(tmp_path: Path) -> None:
    """train/cat with val/Cat are different classes, and that is the first warning."""
    folder(tmp_path / "train", {"cat": 4, "dog": 4})
    folder(tmp_path / "val", {"Cat": 4, "dog": 4}, start=20)
    assert "'Cat' (4), 'cat' (4)" in dataset.read(tmp_path).warnings[0]


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ([f"{0.37 * i:.2f}" for i in range(24)], "regression is not supported"),
        (["cat", "dog", "cat dog"] * 8, "multi-label data are not supported"),
        (["cat|dog", "dog|bird", "cat|bird"] * 8, "multi-label data are not supported"),
        (["a,b", "b,c", "a"] * 8, "multi-label data are not supported"),
    ],
)
def test_tasks_that_are_not_supported_are_named(tmp_path: Path, labels: list[str], what: str) -> None:
    """Continuous labels and lists of labels are refused by what they are."""
    root = folder(tmp_path, {"img": 24}, size=(8, 8))
    rows = [f'img/{i:04d}.jpg,"{label}"' for i, label in enumerate(labels)]
    (root / "m.csv").write_text("path,label\n" + "\n".join(rows))
    with pytest.raises(DatasetError, match=what) as caught:
        dataset.read(root / "m.csv")
    assert caught.value.hint


def test_a_folder_may_be_called_by_the_words_of_others(tmp_path: Path) -> None:
    """An image lies in one folder: sea, lion and sea lion are three classes."""
    assert dataset.read(folder(tmp_path, {"lion": 3, "sea": 3, "sea lion": 3})).classes == ("lion", "sea", "sea lion")


@pytest.mark.parametrize("labels", [["black cat", "white dog", "red bird"], ["0", "1", "2"], ["3,5", "a", "b"]])
def test_ordinary_labels_with_spaces_and_numbers_are_classes(tmp_path: Path, labels: list[str]) -> None:
    """Words that are no labels of their own, and few numbers, are class names."""
    root = folder(tmp_path, {"img": 12}, size=(8, 8))
    rows = [f'img/{i:04d}.jpg,"{labels[i % 3]}"' for i in range(12)]
    (root / "m.csv").write_text("path,label\n" + "\n".join(rows))
    assert dataset.read(root / "m.csv").classes == tuple(sorted(labels))
