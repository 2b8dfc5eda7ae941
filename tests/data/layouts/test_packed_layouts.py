"""Images that do not lie as files: archives, shards, tables of bytes, saved data sets; and what is refused of them."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from photographs import folder, photo

from advisor.data import dataset, images
from advisor.data.archives import unpacking
from advisor.errors import DatasetError
from advisor.records import Dataset
from advisor.records.data import ReadOptions


def contents(data: Dataset) -> set[tuple[str, str, str]]:
    """Label, given split and hash of every item: what does not depend on where files lie."""
    return {(data.classes[i.label], i.given, i.sha256) for i in data.items}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """train/ and test/ of two classes."""
    for number, name in enumerate(("train", "test")):
        folder(tmp_path / "plain" / name, {"cat": 4, "dog": 4}, start=20 * number)
    return tmp_path / "plain"


def pack_tar(root: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(root, arcname="data")
    return path


def pack_zip(root: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.rglob("*.jpg"):
            archive.write(file, file.relative_to(root))
    return path


@pytest.mark.parametrize("pack", [pack_tar, pack_zip])
def test_an_archive_is_read_as_the_folder_in_it(plain: Path, tmp_path: Path, pack: object) -> None:
    """A ZIP or TAR gives the same items, classes and splits, and is unpacked once."""
    path = pack(plain, tmp_path / ("a.tgz" if pack is pack_tar else "a.zip"))  # type: ignore[operator]
    first = dataset.read(path)
    assert contents(first) == contents(dataset.read(plain))
    assert first.layout == "splits"
    assert dataset.read(path) == first


def test_messages_name_the_archive_and_the_file_in_it(plain: Path, tmp_path: Path) -> None:
    """Not the folder of the cache: for an archive, one within another, an equal one elsewhere, and warnings about it."""
    inner = pack_tar(plain, tmp_path / "inner.tgz")
    with zipfile.ZipFile(tmp_path / "a b.zip", "w") as outer:
        outer.write(inner, "inner.tgz")
    data = dataset.read(tmp_path / "a b.zip")
    file = Path(data.root) / data.items[0].path
    shown = f"{tmp_path}/a b.zip/inner.tgz/data/{data.items[0].path}"
    assert str(images.transient(OSError(), str(file))).startswith(f"{shown} could not be read")
    (tmp_path / "moved").mkdir()
    os.rename(tmp_path / "a b.zip", tmp_path / "moved" / "a b.zip")
    assert dataset.read(tmp_path / "moved" / "a b.zip").root == data.root
    assert unpacking.given(file) == shown.replace("a b.zip", "moved/a b.zip")
    folder(tmp_path / "new" / "train", {"cat": 4, "dog": 4})
    folder(tmp_path / "new" / "test", {"": 3}, start=30)
    (warning,) = [w for w in dataset.read(pack_zip(tmp_path / "new", tmp_path / "a b.zip")).warnings if "predict" in w]
    assert f"`tl-advise predict RUN '{tmp_path}/a b.zip'/test`" in warning
    assert warning.endswith("Unpack the archive first.")


def test_a_class_without_readable_images_is_that_of_the_archive(plain: Path, tmp_path: Path) -> None:
    """The error begins with what was given."""
    for file in (plain / "train" / "cat").iterdir():
        file.write_bytes(b"no image")
    path = pack_zip(plain / "train", tmp_path / "a.zip")
    with pytest.raises(DatasetError, match=f"^{re.escape(str(path))}: class cat has no readable image"):
        dataset.read(path)


@pytest.mark.parametrize("name", ["../out.jpg", "/tmp/out.jpg", "a/../../out.jpg", "..\\out.jpg"])
def test_a_member_outside_of_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    """No member is written outside of the target, from either kind of archive."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    for path in (tmp_path / "a.zip", tmp_path / "a.tar"):
        with pytest.raises(DatasetError, match="lies outside of the archive"):
            dataset.read(path)


def test_links_of_an_archive_are_left_out(plain: Path, tmp_path: Path) -> None:
    """A symbolic link in an archive cannot reach files of this machine."""
    os.symlink("/etc/passwd", plain / "train" / "cat" / "link.jpg")
    data = dataset.read(pack_tar(plain, tmp_path / "a.tar.gz"))
    assert len(data.items) == 16
    assert not data.unreadable


def test_an_archive_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of bytes or files nothing is kept, and the remedy is named."""
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/a.jpg", bytes(2_000_000))
    with pytest.raises(DatasetError, match="unpacks to more than") as caught:
        dataset.read(tmp_path / "a.zip")
    assert "Unpack it yourself" in caught.value.hint


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut", b"", b"no archive"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, content: bytes) -> None:
    """What cannot be unpacked is named."""
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.zip cannot be unpacked"):
        dataset.read(tmp_path / "a.zip")


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_packed_tar_is_one_line(tmp_path: Path, suffix: str, damage: str) -> None:
    """Each way of packing has an error of its own, and one of them is what Python raises at the end of its input."""
    folder(tmp_path / "plain", {"cat": 6, "dog": 6})
    path = tmp_path / f"a.tar.{suffix}"
    with tarfile.open(path, f"w:{suffix}") as archive:
        archive.add(tmp_path / "plain", "plain")
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] if damage == "cut" else content[:half] + bytes(200) + content[half + 200 :])
    with pytest.raises(DatasetError, match=rf"a\.tar\.{suffix} cannot be unpacked"):
        dataset.read(path)


def test_webdataset_shards_are_read(tmp_path: Path) -> None:
    """Shards pair images with labels by their key; the name of a shard states its split."""
    folder(tmp_path / "plain", {"img": 12})
    files = sorted((tmp_path / "plain" / "img").iterdir())
    for shard, part in (("train-000", files[:8]), ("val-000", files[8:])):
        (tmp_path / "shards").mkdir(exist_ok=True)
        with tarfile.open(tmp_path / "shards" / f"{shard}.tar", "w") as archive:
            for number, file in enumerate(part):
                label = "cat" if number % 2 else "dog"
                for name, content in (
                    (f"{file.stem}.jpg", file.read_bytes()),
                    (f"{file.stem}.json", json.dumps({"label": label}).encode()),
                ):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    data = dataset.read(tmp_path / "shards")
    assert (data.layout, data.classes, len(data.items)) == ("webdataset", ("cat", "dog"), 12)
    assert {i.given for i in data.test} == {"val"}


def test_labels_are_read_from_names(tmp_path: Path) -> None:
    """--label-from takes the first group of an expression; what does not match is skipped and counted."""
    folder(tmp_path, {"all": 8})
    for number, file in enumerate(sorted((tmp_path / "all").iterdir())):
        file.rename(file.with_name(f"{'cat' if number % 2 else 'dog'}_{number}.jpg" if number else "other.jpg"))
    listing = dataset.find(tmp_path / "all", ReadOptions(label_from="^([a-z]+)_"))
    assert sorted({e.label for e in listing.entries}) == ["cat", "dog"]
    assert len(listing.entries) == 7
    assert any("does not match 1 images" in w for w in listing.warnings)
    for wrong in ("([", "cat", "^(z+)"):
        with pytest.raises((DatasetError, Exception), match="label-from") as caught:
            dataset.find(tmp_path / "all", ReadOptions(label_from=wrong))
        assert caught.value.hint


def test_parquet_and_saved_data_sets_are_read(tmp_path: Path) -> None:
    """Image bytes in Parquet and in Arrow files of Hugging Face, with class names from the stated features."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    images = []
    for number in range(12):
        stream = io.BytesIO()
        photo(number).save(stream, "JPEG")
        images.append({"bytes": stream.getvalue(), "path": f"{number}.jpg"})
    info = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = arrow.table({"image": images, "label": [n % 2 for n in range(12)]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    parquet.write_table(table, tmp_path / "a.parquet")
    data = dataset.read(tmp_path / "a.parquet", test_split="none")
    assert (data.classes, len(data.items)) == (("cat", "dog"), 12)
    first = Path(data.root) / data.items[0].path
    assert unpacking.given(first) == f"{tmp_path}/a.parquet/{data.items[0].path}"
    saved = tmp_path / "saved"
    for split in ("train", "test"):
        (saved / split).mkdir(parents=True)
        file = str(saved / split / "data-00000-of-00001.arrow")
        with arrow.OSFile(file, "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        for name in ("state.json", "dataset_info.json"):
            (saved / split / name).write_text("{}")
    (saved / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    again = dataset.read(saved)
    assert len({i.path for i in again.items}) == 24
    assert (again.layout, again.classes, again.split.rule, again.split.test) == (
        "huggingface",
        ("cat", "dog"),
        "given",
        12,
    )
