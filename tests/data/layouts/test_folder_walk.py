"""What a walk through a folder takes for images: names, suffixes, links, permissions; and what is no data folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from photographs import folder, photo, save
from read_folders import labels, refused

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


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


def test_images_of_formats_that_are_not_read_are_said(tmp_path: Path) -> None:
    """JPEG XL and vector graphics are images to a user: that they are lost is a warning, not only a count."""
    folder(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "cat" / "a.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    (tmp_path / "cat" / "b.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    (tmp_path / "dog" / "a.SVG").write_text("<svg/>")
    (note,) = dataset.find(tmp_path).warnings
    assert note.startswith("images of formats that are not read are skipped (.jxl 2, .svg 1)")


def test_a_folder_that_is_not_left_out_is_said(tmp_path: Path) -> None:
    """A name completed by a shell ends with a slash; one that is misspelt, or that a table overrules, has no effect."""
    folder(tmp_path, {"cat": 2, "dog": 2, "draft": 2})
    for name in ("draft", "draft/"):
        listing = dataset.find(tmp_path, ReadOptions(exclude=(name,)))
        assert {entry.label for entry in listing.entries} == {"cat", "dog"}
        assert not listing.warnings
    listing = dataset.find(tmp_path, ReadOptions(exclude=("drafts",)))
    assert "--exclude drafts: without effect, there is no such folder" in listing.warnings[0]
    rows = "".join(f"{path.relative_to(tmp_path)},{path.parent.name}\n" for path in sorted(tmp_path.rglob("*.jpg")))
    (tmp_path / "labels.csv").write_text("path,label\n" + rows)
    listing = dataset.find(tmp_path / "labels.csv", ReadOptions(exclude=("draft",)))
    assert "--exclude draft: without effect, 2 images" in listing.warnings[0]
