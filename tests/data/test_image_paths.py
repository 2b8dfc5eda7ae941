"""Which images a person means: files, folders, patterns; hidden ones, circles of links and stray bytes included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from advisor.data import image_paths
from advisor.errors import InputError


@pytest.fixture(name="folder")
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, others, hidden ones, a circle of links and a name that is no UTF-8."""
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / ".ipynb_checkpoints").mkdir()
    for name in ("a/2.png", "a/1.jpg", "a/deep/3.PNG", "a/.ipynb_checkpoints/1.jpg", "a/odd [x].png", "b.dat"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, "PNG")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    os.symlink("..", tmp_path / "a" / "deep" / "up")
    with open(os.fsencode(tmp_path / "a") + b"/caf\xe9.png", "wb") as stream:
        stream.write((tmp_path / "a" / "2.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_all_images_below_it_in_order(folder: Path) -> None:
    """Folders are walked to the end, sorted; links in circles end; hidden folders are not entered."""
    resolved = image_paths.resolve(["a"])
    assert resolved.paths == ("a/1.jpg", "a/2.png", "a/caf\udce9.png", "a/odd [x].png", "a/deep/3.PNG")
    assert resolved.skipped == 1


def test_a_named_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    """A file that is named outright needs no suffix, and signs of a pattern in its name mean themselves."""
    assert image_paths.resolve(["b.dat", "a/odd [x].png"]).paths == ("b.dat", "a/odd [x].png")


def test_patterns_and_repeats(folder: Path) -> None:
    """A pattern gives what it matches; what is meant twice is taken once, where it came first."""
    assert image_paths.resolve(["a/*.png", "a/2.png"]).paths == ("a/2.png", "a/caf\udce9.png", "a/odd [x].png")
    assert "a/deep/3.PNG" in image_paths.resolve(["**/*.PNG"]).paths


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("gone", "no such file or folder: gone."),
        ("a/*.tif", "a/*.tif: nothing matches."),
        ("empty", "empty: no images found."),
        ("broken", "broken is a broken link."),
        ("gone\udce9", "no such file or folder: gone\\xe9."),
    ],
)
def test_a_name_that_stands_for_nothing_is_one_line(folder: Path, name: str, line: str) -> None:
    """A typo, an empty folder and a broken link each say what is wrong."""
    (folder / "empty").mkdir()
    os.symlink("nowhere", folder / "broken")
    with pytest.raises(InputError) as caught:
        image_paths.resolve([name])
    assert caught.value.what == line


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    """A subfolder whose path is too long for the system stands for one without permission, which root has."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(17):  # beyond 4,096 bytes, one step at a time
        os.mkdir("d" * 250, dir_fd=folder)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    resolved = image_paths.resolve([str(tmp_path)])
    assert resolved.paths == (str(tmp_path / "a.png"),)
    assert [(u.path.startswith(str(tmp_path / "ddd")), u.reason) for u in resolved.unlisted] == [
        (True, "file name too long")
    ]
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"no images found; .* cannot be listed \(file name too long\)"):
        image_paths.resolve([str(tmp_path)])
