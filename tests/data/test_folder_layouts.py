"""Folders as people have them: what is read, what is left out, what is refused with one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from photographs import folder, photo, save

from advisor.data import dataset, folder_layouts
from advisor.errors import DatasetError


def labels(root: Path) -> dict[str, int]:
    """Images by label."""
    found: dict[str, int] = {}
    for entry in folder_layouts.listing(root).entries:
        found[entry.label] = found.get(entry.label, 0) + 1
    return found


def test_class_folders_are_read_at_any_depth(tmp_path: Path) -> None:
    """The folder below the root is the class; deeper folders belong to it."""
    folder(tmp_path, {"cat": 2, "dog/indoors": 1, "dog/out/side": 2})
    found = folder_layouts.listing(tmp_path)
    assert found.layout == "folders"
    assert labels(tmp_path) == {"cat": 2, "dog": 3}
    assert [e.path for e in found.entries] == sorted(e.path for e in found.entries)
    assert {e.given for e in found.entries} == {""}


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
    found = folder_layouts.listing(tmp_path)
    assert found.layout == "splits"
    assert {e.given for e in found.entries} == set(splits)
    assert labels(tmp_path) == {"cat": len(names), "dog": len(names)}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """A class folder called train beside others is a class: it holds images, not class folders."""
    folder(tmp_path, {"train": 2, "plane": 2, "car": 2})
    assert labels(tmp_path) == {"train": 2, "plane": 2, "car": 2}


def test_a_test_without_train_is_refused(tmp_path: Path) -> None:
    """test/ alone cannot be learned from."""
    folder(tmp_path / "test", {"cat": 1, "dog": 1})
    with pytest.raises(DatasetError, match="no train/"):
        folder_layouts.listing(tmp_path)


def test_unlabelled_images_of_a_split_are_left_out(tmp_path: Path) -> None:
    """A test/ that holds images without class folders has no labels: left out with a warning."""
    folder(tmp_path / "train", {"cat": 2, "dog": 2})
    folder(tmp_path, {"test": 3}, start=20)
    found = folder_layouts.listing(tmp_path)
    assert {e.given for e in found.entries} == {"train"}
    assert any("3 images outside class folders" in w for w in found.warnings)
    assert found.skipped == 3


def test_hidden_and_foreign_files_are_left_out_and_counted(tmp_path: Path) -> None:
    """.ipynb_checkpoints, __MACOSX, @eaDir, dot files and files that are no images are not data."""
    folder(tmp_path, {"cat": 2, "dog": 2, ".ipynb_checkpoints": 2, "__MACOSX/cat": 2, "cat/@eaDir": 1, ".git": 1})
    (tmp_path / "cat" / "._0000.jpg").write_bytes(b"\0\5\x16\7")
    (tmp_path / "dog" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "readme.txt").write_text("about")
    (tmp_path / "cat" / "notes.xml").write_text("<a/>")
    found = folder_layouts.listing(tmp_path)
    assert labels(tmp_path) == {"cat": 2, "dog": 2}
    assert found.skipped == 8


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
    for entry in folder_layouts.listing(tmp_path).entries:
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
    found = folder_layouts.listing(tmp_path / "data")
    assert labels(tmp_path / "data") == {"cat": 5, "dog": 3}
    assert any("not followed: 1" in w for w in found.warnings)


def test_folders_that_link_to_each_other_are_read_once(tmp_path: Path) -> None:
    """Many folders that all link to each other do not multiply."""
    folder(tmp_path, {"cat": 1, "dog": 1})
    places = [tmp_path / "cat" / f"f{i}" for i in range(8)]
    for place in places:
        place.mkdir()
    for a in places:
        for b in places:
            (a / f"to-{b.name}").symlink_to(b)
    assert labels(tmp_path) == {"cat": 1, "dog": 1}


def test_loose_images_and_empty_class_folders_are_told(tmp_path: Path) -> None:
    """Images beside the class folders have no label; a class folder without images is no class."""
    folder(tmp_path, {"cat": 1, "dog": 1, "empty": 0})
    save(photo(7), tmp_path / "loose.png")
    found = folder_layouts.listing(tmp_path)
    assert labels(tmp_path) == {"cat": 1, "dog": 1}
    assert any("empty/ holds no images" in w for w in found.warnings)
    assert any("1 images lie beside" in w for w in found.warnings)


def test_domains_of_class_folders_are_told(tmp_path: Path) -> None:
    """Where every class folder holds the same sub-folders, a person probably meant one of them."""
    folder(tmp_path, {"photo/cat": 1, "photo/dog": 1, "sketch/cat": 1, "sketch/dog": 1})
    found = folder_layouts.listing(tmp_path)
    assert labels(tmp_path) == {"photo": 2, "sketch": 2}
    assert any("same sub-folders (cat, dog)" in w for w in found.warnings)


@pytest.mark.parametrize(
    ("name", "make", "what"),
    [
        ("missing", lambda p: None, "no such folder"),
        ("empty", lambda p: p.mkdir(), "is empty"),
        ("file.jpg", lambda p: save(photo(1), p), "is a file, not a folder"),
        ("data.zip", lambda p: p.write_bytes(b"PK"), "is an archive"),
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
        found = folder_layouts.listing(tmp_path)
    finally:
        (tmp_path / "secret").chmod(0o700)
    assert any(u.path == "secret/" for u in found.unreadable)
