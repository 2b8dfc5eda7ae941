"""Folders of `predict --sort-into`: one for each class, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.cli._predict_output import Row
from advisor.cli._predict_sorting import ClassFolders
from advisor.errors import OutputError

CLASSES = ("cat/siamese", "cat_siamese", "Cat_Siamese", "..", "x" * 300, "x" * 299 + "y", "猫" * 120, "unsure")


def sorted_row(label: str, image: Path) -> Row:
    return Row(path=str(image), label=label, best=((label, 1.0),), image=str(image))


def test_every_class_has_a_folder_of_its_own(tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    image.write_bytes(b"png")
    folders = ClassFolders(tmp_path / "to", CLASSES)
    for label in CLASSES:
        folders.add(sorted_row(label, image))
        folders.add(sorted_row(label, image))
    written = [path for path in (tmp_path / "to").iterdir() if path.is_dir()]
    assert len(written) == len(CLASSES)
    assert len({path.name.casefold() for path in written}) == len(CLASSES)  # as some file systems compare
    assert all(sorted(file.name for file in path.iterdir()) == ["one-2.png", "one.png"] for path in written)
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "to"}


def test_a_number_makes_no_name_too_long(tmp_path: Path) -> None:
    """A second image of the longest name that a file can have is copied as well, under a shorter name."""
    image = tmp_path / ("\u732b" * 83 + "a.png")
    image.write_bytes(b"png")
    folders = ClassFolders(tmp_path / "to", ["cat"])
    folders.add(sorted_row("cat", image))
    folders.add(sorted_row("cat", image))
    names = {path.name for path in (tmp_path / "to" / "cat").iterdir()}
    assert names == {image.name, "\u732b" * 83 + "-2.png"}


def test_what_cannot_be_copied_is_named(tmp_path: Path) -> None:
    (tmp_path / "to").write_text("a file")
    image = tmp_path / "one.png"
    image.write_bytes(b"png")
    with pytest.raises(OutputError, match="--sort-into"):
        ClassFolders(tmp_path / "to", ["cat"]).add(sorted_row("cat", image))


def test_a_file_of_an_earlier_call_is_the_copy_if_it_is_the_same(tmp_path: Path) -> None:
    """Two equal images of one name stay two; a changed image and bytes of standard input are told by their content."""
    image = tmp_path / "one.png"
    image.write_bytes(b"png")
    piped = Row(path="-", label="cat", best=(("cat", 1.0),), image=b"piped")
    for _ in range(2):
        folders = ClassFolders(tmp_path / "to", ["cat"])
        for row in (sorted_row("cat", image), sorted_row("cat", image), piped):
            folders.add(row)
        names = sorted(path.name for path in (tmp_path / "to" / "cat").iterdir())
        assert names == ["one-2.png", "one.png", "standard-input"]
    image.write_bytes(b"new")
    ClassFolders(tmp_path / "to", ["cat"]).add(sorted_row("cat", image))
    assert (tmp_path / "to" / "cat" / "one-3.png").read_bytes() == b"new"
