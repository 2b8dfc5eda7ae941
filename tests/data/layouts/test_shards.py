"""Several packed files of one data set: Parquet of the Hugging Face hub, folders of archives, compressed shards."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from photographs import folder, photo

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions

CLASSES = ["cat", "dog"]


def images(start: int, count: int) -> list[dict[str, Any]]:
    """Image bytes as Hugging Face `datasets` writes them."""
    contents = []
    for number in range(start, start + count):
        stream = io.BytesIO()
        photo(number).save(stream, "JPEG")
        contents.append({"bytes": stream.getvalue(), "path": None})
    return contents


def write_parquet(path: Path, start: int, count: int, *, image: str = "image", label: str = "label") -> None:
    """Write images with integer classes whose names stand in the features of the file."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    info = {"info": {"features": {label: {"names": CLASSES, "_type": "ClassLabel"}}}}
    table = arrow.table({image: images(start, count), "width": [48] * count, label: [n % 2 for n in range(count)]})
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), path)


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet"),
        ("train_0.parquet", "train_1.parquet", "test.parquet"),
    ],
)
def test_parquet_files_of_a_hub_repository_are_one_data_set(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Files of one split are read together, splits are as given, and equal numbers of rows do not collide."""
    for number, name in enumerate(names):
        write_parquet(tmp_path / name, 10 * number, 6)
    (tmp_path / "README.md").write_text("---\n---\n")
    data = dataset.read(tmp_path)
    assert (data.layout, data.classes, len(data.items)) == ("parquet", ("cat", "dog"), 18)
    assert (data.split.rule, data.split.test) == ("given", 6)
    assert not data.unreadable


def test_two_data_sets_of_parquet_files_stop(tmp_path: Path) -> None:
    """Configurations of a repository lie side by side: one of them has to be given."""
    for number, name in enumerate(("small/train/0.parquet", "large/train/0.parquet")):
        write_parquet(tmp_path / name, 10 * number, 4)
    with pytest.raises(DatasetError, match=r"several data sets \(large, small\)"):
        dataset.read(tmp_path)


def test_the_column_of_classes_is_known_by_its_type(tmp_path: Path) -> None:
    """Unusual names of the image and of the label; a name that is given counts."""
    write_parquet(tmp_path / "a.parquet", 0, 6, image="scan", label="fine_label")
    assert {e.label for e in dataset.find(tmp_path / "a.parquet").entries} == {"cat", "dog"}
    given = dataset.find(tmp_path / "a.parquet", ReadOptions(label_column="width"))
    assert {e.label for e in given.entries} == {"48"}


def test_images_stored_by_their_path_lie_below_the_folder(tmp_path: Path) -> None:
    """A structure without bytes names a file; one outside of the folder is refused as in every table."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder(tmp_path / "data", {"img": 4})

    def write(paths: list[str]) -> Path:
        structures = arrow.array(
            [{"bytes": None, "path": path} for path in paths], arrow.struct([("bytes", "binary"), ("path", "string")])
        )
        table = arrow.table({"image": structures, "label": [str(n % 2) for n in range(len(paths))]})
        parquet.write_table(table, tmp_path / "data" / "a.parquet")
        return tmp_path / "data" / "a.parquet"

    inside = dataset.find(write([f"img/000{n}.jpg" for n in range(4)]))
    assert [e.path for e in inside.entries] == [f"img/000{n}.jpg" for n in range(4)]
    folder(tmp_path / "out", {"img": 1}, start=20)
    outside = next((tmp_path / "out").rglob("*.jpg"))
    with pytest.raises(DatasetError, match="lies outside"):
        dataset.find(write([str(outside)]))


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_a_folder_of_archives_is_read_as_the_folders_in_them(tmp_path: Path, kind: str) -> None:
    """A class each, with or without a folder of the same name inside, gives the data set of the plain folder."""
    plain = folder(tmp_path / "plain", {"cat": 4, "dog": 4, "a.b cow": 4})
    packed = tmp_path / "packed"
    packed.mkdir()
    shutil.make_archive(str(packed / "cat"), kind, plain, "cat")
    shutil.make_archive(str(packed / "dog"), kind, plain / "dog")
    shutil.make_archive(str(packed / "a.b cow"), kind, plain / "a.b cow")
    assert dataset.read(packed).fingerprint == dataset.read(plain).fingerprint


def test_archives_of_splits_and_of_a_competition_are_read(tmp_path: Path) -> None:
    """train.zip and test.zip are splits; train.zip beside train.csv is a flat folder with its table."""
    for number, split in enumerate(("train", "test")):
        plain = folder(tmp_path / split, {"cat": 3, "dog": 3}, start=10 * number)
        (tmp_path / "splits").mkdir(exist_ok=True)
        shutil.make_archive(str(tmp_path / "splits" / split), "zip", plain)
    data = dataset.read(tmp_path / "splits")
    assert (data.layout, data.split.rule, data.split.test) == ("splits", "given", 6)
    flat = folder(tmp_path / "flat", {"all": 6}, start=40) / "all"
    (tmp_path / "kaggle").mkdir()
    shutil.make_archive(str(tmp_path / "kaggle" / "train"), "zip", flat)
    rows = "".join(f"{file.stem},{'cat' if n % 2 else 'dog'}\n" for n, file in enumerate(sorted(flat.iterdir())))
    (tmp_path / "kaggle" / "train.csv").write_text("id,breed\n" + rows)
    data = dataset.read(tmp_path / "kaggle")
    assert (data.layout, data.classes, len(data.items)) == ("kaggle", ("cat", "dog"), 6)
    assert dataset.read(tmp_path / "kaggle", options=ReadOptions(layout="kaggle")) == data


def test_a_folder_with_one_archive_is_that_archive(tmp_path: Path) -> None:
    """What a download leaves: a folder with an archive of the data set and a note."""
    plain = folder(tmp_path / "plain", {"cat": 3, "dog": 3})
    (tmp_path / "down").mkdir()
    shutil.make_archive(str(tmp_path / "down" / "data"), "zip", plain)
    (tmp_path / "down" / "LICENSE.md").write_text("CC-BY")
    assert dataset.read(tmp_path / "down").fingerprint == dataset.read(plain).fingerprint


def test_an_archive_that_is_not_read_beside_others_stops(tmp_path: Path) -> None:
    """A class in a 7z file must not be lost in silence."""
    plain = folder(tmp_path / "plain", {"cat": 3, "dog": 3})
    (tmp_path / "packed").mkdir()
    for name in ("cat", "dog"):
        shutil.make_archive(str(tmp_path / "packed" / name), "zip", plain / name)
    (tmp_path / "packed" / "cow.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    with pytest.raises(DatasetError, match=r"cow\.7z cannot be unpacked"):
        dataset.read(tmp_path / "packed")


def test_compressed_shards_are_read(tmp_path: Path) -> None:
    """WebDataset shards may be packed with gzip, one or a folder of them."""
    files = sorted((folder(tmp_path, {"img": 8}) / "img").iterdir())
    (tmp_path / "shards").mkdir()
    for number in range(2):
        with tarfile.open(tmp_path / "shards" / f"train-{number:03d}.tar.gz", "w:gz") as archive:
            for position, file in enumerate(files[4 * number : 4 * number + 4]):
                archive.add(file, file.name)
                info = tarfile.TarInfo(f"{file.stem}.cls")
                info.size = 1
                archive.addfile(info, io.BytesIO(str(position % 2).encode()))
    assert {e.label for e in dataset.find(tmp_path / "shards" / "train-000.tar.gz").entries} == {"0", "1"}
    listing = dataset.find(tmp_path / "shards")
    assert (listing.layout, len(listing.entries)) == ("webdataset", 8)
    assert {e.given for e in listing.entries} == {"train"}


@pytest.mark.parametrize("damaged", [0, 1])
def test_the_damaged_one_of_several_parquet_files_is_named(tmp_path: Path, damaged: int) -> None:
    """The others are whole: to look at the first one would find nothing."""
    files = [tmp_path / "train-0.parquet", tmp_path / "train-1.parquet"]
    for number, file in enumerate(files):
        write_parquet(file, 10 * number, 4)
    files[damaged].write_bytes(files[damaged].read_bytes()[:-100])
    with pytest.raises(DatasetError, match=rf"train-{damaged}\.parquet: cannot be read"):
        dataset.read(tmp_path)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_a_damaged_table_alone_in_a_folder_says_so(tmp_path: Path, name: str) -> None:
    """Not that the folder holds no images."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    (tmp_path / name).write_bytes(b"PAR1 cut")
    with pytest.raises(DatasetError, match=rf"{name}.*(cannot be read|Not a gzipped file)"):
        dataset.read(tmp_path)
