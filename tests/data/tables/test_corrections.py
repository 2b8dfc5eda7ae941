"""Corrected labels: what a table changes, what it must say to change a test image, and what is refused with its line."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from photographs import folder
from photos import write_crops

from advisor.data import dataset, splits
from advisor.data.tables import corrections
from advisor.errors import InputError
from advisor.records import Dataset


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Thirty crops in three classes, a fifth of them held out."""
    return dataset.read(write_crops(tmp_path_factory.mktemp("data") / "crops", classes=3, each=10, side_px=16))


def table(folder: Path, *lines: str, head: str = "path,label") -> Path:
    """Write a table of corrections."""
    file = folder / "fixed.csv"
    file.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return file


def other(data_set: Dataset, label: int) -> str:
    """Name another class."""
    return data_set.classes[(label + 1) % 3]


def test_only_rows_that_differ_change_a_label(data_set: Dataset, tmp_path: Path) -> None:
    """A whole suspects.csv with one label edited corrects one label; the split and the fingerprint stay."""
    first, second, *_ = data_set.pool
    rows = [f"{i.path},{data_set.classes[i.label]},class 1,0.1" for i in data_set.items if i != first]
    file = table(
        tmp_path, f"{first.path},{other(data_set, first.label)},x,0.01", *rows, head="path,label,suggested,score"
    )
    corrected = corrections.apply(data_set, file)
    changed = [i for i, j in zip(corrected.items, data_set.items, strict=True) if i != j]
    assert [(i.path, corrected.classes[i.label]) for i in changed] == [(first.path, other(data_set, first.label))]
    assert [i.split for i in corrected.items] == [i.split for i in data_set.items]
    assert corrected.fingerprint == data_set.fingerprint
    assert splits.split_list_sha256(corrected) != splits.split_list_sha256(data_set)
    assert corrected.relabelled is not None
    assert (corrected.relabelled.images, corrected.relabelled.test_images) == (1, 0)
    assert second.label == corrected.pool[1].label


def test_what_was_corrected_can_be_corrected_again_from_the_copy(data_set: Dataset, tmp_path: Path) -> None:
    """The copy in a run directory makes the same corrections, with the same hash."""
    rows = [f"{i.path},{other(data_set, i.label)}" for i in data_set.pool[:4]]
    corrected = corrections.apply(data_set, table(tmp_path, *rows), name="fixed.csv")
    corrections.write(data_set, corrected, tmp_path / "copy.csv")
    assert corrections.apply(data_set, tmp_path / "copy.csv", name="fixed.csv") == corrected
    fewer = corrections.apply(data_set, table(tmp_path, *rows[:3]))
    assert fewer.relabelled is not None
    assert corrected.relabelled is not None
    assert fewer.relabelled.sha256 != corrected.relabelled.sha256


def test_a_test_image_is_changed_only_where_its_row_says_so(data_set: Dataset, tmp_path: Path) -> None:
    """Never silently: without the word the call is refused, with it the count is stated."""
    held_out = data_set.test[0]
    row = f"{held_out.path},{other(data_set, held_out.label)}"
    with pytest.raises(InputError, match=r"line 2: .* is in the held-out test set") as refused:
        corrections.apply(data_set, table(tmp_path, row))
    assert "split" in refused.value.hint
    stated = corrections.apply(data_set, table(tmp_path, f"{row},test", head="path,label,split")).relabelled
    assert stated is not None
    assert stated.test_images == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("no/such.jpg,class 1", "no/such.jpg is no image of the data set"),
        ("{path},class 9", "class 9 is no class of the data set"),
        ("{path},", "an empty cell is no class"),
        ("{path},class 1,more", "3 cells, the first line has 2"),
        ("{path},class 1\n{path},class 2", "line 3: .* has another label in an earlier row"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(
    data_set: Dataset, tmp_path: Path, row: str, message: str
) -> None:
    """An unknown path, an unknown class, an empty label, a ragged row, two labels for one image."""
    with pytest.raises(InputError, match=message):
        corrections.apply(data_set, table(tmp_path, row.format(path=data_set.pool[0].path)))


def test_a_table_without_the_columns_is_refused(data_set: Dataset, tmp_path: Path) -> None:
    """The columns are named; a file that is not there is too."""
    with pytest.raises(InputError, match="expected the columns path,label"):
        corrections.apply(data_set, table(tmp_path, "a,b", head="image,truth"))
    with pytest.raises(InputError, match="no such file"):
        corrections.apply(data_set, tmp_path / "nothing.csv")


def test_a_split_that_does_not_hold_is_refused(data_set: Dataset, tmp_path: Path) -> None:
    """A pool image that is called a test image is a mistake."""
    first = data_set.pool[0]
    file = table(tmp_path, f"{first.path},{other(data_set, first.label)},test", head="path,label,split")
    with pytest.raises(InputError, match="is not in the held-out test set"):
        corrections.apply(data_set, file)


def test_no_difference_is_said(data_set: Dataset, tmp_path: Path) -> None:
    """A table that changes nothing leaves the data as they are, with a warning."""
    first = data_set.pool[0]
    same = corrections.apply(data_set, table(tmp_path, f"{first.path},{data_set.classes[first.label]}"))
    assert same.relabelled is None
    assert "no label differs" in same.warnings[-1]


def test_labels_are_compared_as_a_data_set_has_them(tmp_path: Path) -> None:
    """Accents that are signs of their own, as an editor of macOS writes them, and empty fields at the end of a line."""
    data_set = dataset.read(folder(tmp_path / "data", {"café": 4, "thé": 4}), test_split="none")
    file = table(tmp_path, f"{data_set.items[0].path},{unicodedata.normalize('NFD', 'thé')},,", head="path,label")
    corrected = corrections.apply(data_set, file)
    assert corrected.relabelled is not None
    assert corrected.relabelled.changes[0].label == "thé"
