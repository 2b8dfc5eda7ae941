"""Data sets by URL equal the folders that they were made from."""

from __future__ import annotations

from pathlib import Path

from photographs import folder
from served_folders import Server, contents, same, upload

from advisor.data import dataset
from advisor.data.remote import data_sets


def test_a_folder_in_a_store_reads_as_the_folder(tmp_path: Path, bucket: str) -> None:
    """Class folders and splits in an object store give the fingerprint of the local folder."""
    for number, split in enumerate(("train", "test")):
        folder(tmp_path / "photos" / split, {"cat": 3, "dog": 3}, start=20 * number)
    upload(tmp_path / "photos", f"{bucket}/photos")
    same(f"{bucket}/photos", tmp_path / "photos")
    assert contents(dataset.read(Path(f"{bucket}/photos"))) == contents(dataset.read(f"{bucket}/photos"))


def test_a_table_in_a_store_brings_its_images(tmp_path: Path, bucket: str) -> None:
    """The images that a table names are fetched with it; rows whose file is missing are reported as for a local table."""
    folder(tmp_path / "data" / "img", {"cat": 3, "dog": 3})
    files = sorted((tmp_path / "data" / "img").rglob("*.jpg"))
    lines = [f"{f.relative_to(tmp_path / 'data').as_posix()},{f.parent.name}" for f in files]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(["path,label", *lines, "img/gone.jpg,cat", ""]))
    (tmp_path / "data" / "not needed.bin").write_bytes(b"0" * 1000)
    upload(tmp_path / "data", f"{bucket}/data")
    data = same(f"{bucket}/data/labels.csv", tmp_path / "data" / "labels.csv")
    assert [u.path for u in data.unreadable] == ["img/gone.jpg"]
    assert not (Path(data.root) / "not needed.bin").exists()


def test_a_folder_over_http_is_found_by_its_index(tmp_path: Path, served: tuple[Path, str, type[Server]]) -> None:
    """A web server that lists folders serves a data set, names with spaces included."""
    root, address, _ = served
    folder(root / "photos", {"a cat": 3, "dog": 3})
    same(f"{address}/photos/", root / "photos")


def test_images_are_found_by_name_folder_and_pattern(tmp_path: Path, bucket: str) -> None:
    """`predict` classifies one image, those below a folder, and those that match a pattern."""
    folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    upload(tmp_path / "photos", f"{bucket}/photos")
    everything = data_sets.images(f"{bucket}/photos")
    assert len(everything) == 4
    one = everything[0][0]
    assert [url for url, _ in data_sets.images(one)] == [one]
    assert data_sets.images(one)[0][1].read_bytes() == everything[0][1].read_bytes()
    assert len(data_sets.images(f"{bucket}/photos/cat/*.jpg")) == 2


def test_files_of_one_name_in_several_folders_are_several_images(tmp_path: Path, bucket: str) -> None:
    """A pattern over folders gives each image its own content."""
    for number, name in enumerate(("a", "b", "c")):
        folder(tmp_path / name, {"x": 1}, start=number)
        (tmp_path / name / "x" / f"{number:04d}.jpg").rename(tmp_path / name / "photo.jpg")
    upload(tmp_path, f"{bucket}/photos")
    images = data_sets.images(f"{bucket}/photos/*/photo.jpg")
    assert {url.split("/")[-2]: path.read_bytes() for url, path in images} == {
        name: (tmp_path / name / "photo.jpg").read_bytes() for name in ("a", "b", "c")
    }


def test_names_with_signs_of_an_address_are_fetched(tmp_path: Path, served: tuple[Path, str, type[Server]]) -> None:
    """`#`, `?`, `%` and spaces in the names of a table stand for themselves."""
    root, address, _ = served
    folder(root, {"img": 4})
    names = ["a #1.jpg", "what?.jpg", "100%.jpg", "50%20.jpg"]
    for path, name in zip(sorted((root / "img").iterdir()), names, strict=True):
        path.rename(root / "img" / name)
    (root / "t.csv").write_text("path,label\n" + "".join(f"img/{n},{'ab'[i % 2]}\n" for i, n in enumerate(names)))
    same(f"{address}/t.csv", root / "t.csv")
