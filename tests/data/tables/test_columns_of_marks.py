"""Columns of 0 and 1: a class each, or facts beside a label of an unusual name."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import folder

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


def test_columns_of_marks_beside_words_are_not_taken_for_classes(tmp_path: Path) -> None:
    """`kind,flipped,cropped`: rows that are neither flipped nor cropped would be lost; where each has one, it is the class."""
    root = folder(tmp_path, {"img": 12})
    table = root / "labels.csv"
    rows = [(f"img/{i:04d}.jpg", "cat" if i < 6 else "dog", int(i == 1), int(i == 4)) for i in range(12)]
    text = "path,kind,flipped,cropped\n" + "".join(f"{p},{k},{f},{c}\n" for p, k, f, c in rows)
    table.write_text(text)
    with pytest.raises(DatasetError, match=r"classes in the column 'kind'.*flipped, cropped") as caught:
        dataset.find(table)
    assert "--label-column kind" in str(caught.value.hint)
    assert len(dataset.find(table, ReadOptions(label_column="kind")).entries) == 12
    each = "path,site,age,cat,dog\n" + "".join(
        f"img/{i:04d}.jpg,{'ab'[i % 2]},{30 + i},{i % 2},{1 - i % 2}\n" for i in range(12)
    )
    for rest in ("", "img/0000.jpg,b,30,0,0\n"):
        table.write_text(each + rest)
        assert {e.label for e in dataset.find(table).entries} == {"cat", "dog"}
