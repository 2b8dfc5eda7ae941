"""Several tables for the same images: one where they agree, a question where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import folder
from read_folders import labels, refused

from advisor.data import dataset


def test_two_tables_of_the_training_images_stop_where_they_differ(tmp_path: Path) -> None:
    """`train.csv` beside `train_labels.csv`: equal ones are one, different ones are asked about, lists of classes are said."""
    folder(tmp_path, {"train": 4, "test": 2})
    first = "id,label\n" + "".join(f"{i:04d},{'cat' if i < 2 else 'dog'}\n" for i in range(4))
    (tmp_path / "train.csv").write_text(first)
    (tmp_path / "train_labels.csv").write_text(first)
    assert labels(tmp_path) == {"cat": 2, "dog": 2}
    (tmp_path / "train_labels.csv").write_text(first.replace("dog", "wolf"))
    error = refused(tmp_path)
    assert "train.csv, train_labels.csv all list" in error.what
    assert labels(tmp_path / "train_labels.csv") == {"cat": 2, "wolf": 2}
    (tmp_path / "train_labels.csv").unlink()
    (tmp_path / "labels.csv").write_text("id,label\n1,cat\n2,dog\n")
    listing = dataset.find(tmp_path)
    assert {entry.label for entry in listing.entries} == {"cat", "dog"}
    assert any("labels.csv is not used" in text for text in listing.warnings)


@pytest.mark.parametrize("other", ["metadata.jsonl", "metadata.tsv"])
def test_two_files_of_metadata_stop(tmp_path: Path, other: str) -> None:
    """`metadata.csv` beside another form that states labels too: which one holds is for the user to say."""
    folder(tmp_path, {"images": 4})
    rows = [(f"images/{n:04d}.jpg", "ab"[n % 2]) for n in range(4)]
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + "".join(f"{p},{n}\n" for p, n in rows))
    lines = "".join(f'{{"file_name": "{p}", "label": "{n}{n}"}}\n' for p, n in rows)
    tabs = "file_name\tlabel\n" + "".join(f"{p}\t{n}{n}\n" for p, n in rows)
    (tmp_path / other).write_text(lines if other.endswith("jsonl") else tabs)
    assert f"metadata.csv, {other} both state labels" in refused(tmp_path).what


def test_training_metadata_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """The metadata of the test alone would be read as a training set."""
    folder(tmp_path, {"train": 4, "test": 4})
    rows = "".join(f"{n:04d}.jpg,{'ab'[n % 2]}\n" for n in range(4))
    (tmp_path / "test" / "metadata.csv").write_text(
        "file_name,label\n"
        + "".join(f"{path.name},{'ab'[n % 2]}\n" for n, path in enumerate(sorted((tmp_path / "test").glob("*.jpg"))))
    )
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\n" + rows + '"broken\n')
    assert "train/metadata.csv, line" in refused(tmp_path).what
    (tmp_path / "train" / "metadata.csv").write_text("file_name,caption,year\n0000.jpg,x,1\n0001.jpg,y,2\n")
    assert "train/metadata.csv has no path and label column" in refused(tmp_path).what
