"""Splits in the names of shards, Parquet files and saved parts; what states none is not added to the training images."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from photographs import jpeg

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


def shard(path: Path, start: int, extra: str = "") -> None:
    """Write six samples of two classes, each with a further image called `extra`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number in range(start, start + 6):
            members = {"jpg": jpeg((40, 32), number), "cls": str(number % 2).encode()}
            members |= {extra: jpeg((20, 20), number)} if extra else {}
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{number:04d}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def arrow_table(start: int) -> Any:
    """Return six images of two classes as an Arrow table."""
    arrow = pytest.importorskip("pyarrow")
    images = [{"bytes": jpeg((40, 32), number), "path": None} for number in range(start, start + 6)]
    return arrow.table({"image": images, "label": [number % 2 for number in range(6)]})


def saved(folder: Path, start: int, *names: str) -> None:
    """Write a saved part whose files are `names`; the first one alone is listed."""
    arrow = pytest.importorskip("pyarrow")
    table = arrow_table(start)
    folder.mkdir(parents=True)
    for name in names:
        with arrow.OSFile(str(folder / name), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": names[0]}]}))
    (folder / "dataset_info.json").write_text("{}")


def test_shards_state_their_splits_beside_each_other(tmp_path: Path) -> None:
    """Names that share their other words, as on the Hugging Face hub; a shard of no split is not for training."""
    shard(tmp_path / "a" / "photos2k-train-0000.tar", 0)
    shard(tmp_path / "a" / "photos2k-validation-0000.tar", 10)
    assert {item.given for item in dataset.read(tmp_path / "a").items} == {"train", "val"}
    for number, name in enumerate(("train-00", "test-00", "test_ood-00")):
        shard(tmp_path / "b" / f"{name}.tar", 10 * number)
    data = dataset.read(tmp_path / "b")
    assert (len(data.items), data.split.test) == (12, 6)
    assert "shards beside the splits are skipped: test_ood-00." in data.warnings


def test_the_image_of_a_sample_is_the_one_with_the_plain_name(tmp_path: Path) -> None:
    """0001.jpg, not its mask 0001.seg.jpg; that there are several is said."""
    shard(tmp_path / "a.tar", 0, extra="seg.jpg")
    data = dataset.read(tmp_path / "a.tar")
    assert sorted(item.path for item in data.items) == [f"{number:04d}.jpg" for number in range(6)]
    assert any("6 samples hold several images (0000.jpg, 0000.seg.jpg)" in warning for warning in data.warnings)


def test_parquet_files_that_are_missing_or_of_no_split_are_named(tmp_path: Path) -> None:
    """An interrupted download, and a further test set that must not be trained on."""
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = ("train-00001-of-00003", "test-00000-of-00001", "test_ood-00000-of-00001")
    for number, name in enumerate(names):
        parquet.write_table(arrow_table(10 * number), tmp_path / f"{name}.parquet")
    data = dataset.read(tmp_path)
    assert (len(data.items), data.split.test) == (12, 6)
    assert "Parquet files beside the splits are skipped: test_ood-00000-of-00001.parquet." in data.warnings
    missing = "train-00000-of-00003, train-00002-of-00003"
    assert f"Parquet files are missing by the names of the others: {missing}." in data.warnings


def test_a_saved_data_set_is_what_its_state_lists(tmp_path: Path) -> None:
    """Not what an earlier save left there, and not without a file that is missing; a part of no split is skipped."""
    for number, part in enumerate(("train", "test", "ood")):
        saved(tmp_path / part, 10 * number, "data-00000-of-00001.arrow", "data-00000-of-00002.arrow")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test", "ood"]}')
    data = dataset.read(tmp_path)
    assert (len(data.items), data.split.test) == (12, 6)
    assert "parts beside the splits are skipped: ood." in data.warnings
    assert not any("skipped" in w for w in dataset.read(tmp_path, options=ReadOptions(exclude=("ood",))).warnings)
    (tmp_path / "train" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DatasetError, match=r"of its 1 Arrow files, data-00000-of-00001\.arrow is missing"):
        dataset.read(tmp_path)
