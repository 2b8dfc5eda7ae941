"""Tables as programs and people write them: each dialect is read, or refused in one line that names the cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from photographs import folder

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions

PAIRS = [(f"img/{i:04d}.jpg", "cat" if i < 3 else "dog") for i in range(6)]
ROWS = "".join(f"{path},{label}\n" for path, label in PAIRS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six photographs in img/, 0000.jpg to 0005.jpg."""
    return folder(tmp_path, {"img": 6})


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("t.csv", "path,label\n" + ROWS, "utf-32"),
        ("t.csv", "path,label\n" + ROWS, "utf-16-le"),
        ("t.csv", "path,label\n" + ROWS.replace("\n", "\r"), "utf-8"),
        ("t.tsv", "path,label\n" + ROWS, "utf-8"),
        ("t.tsv", ("path,label\n" + ROWS).replace(",", ";"), "utf-8"),
        ("t.csv", "# exported today\npath,label\n" + ROWS, "utf-8"),
        ("t.csv", "#path,label\n" + ROWS, "utf-8"),
        ("t.csv", "path,label\n" + ROWS.replace("\n", ",\n"), "utf-8"),
        ("t.csv", "".join(f'"{p}", "{c}"\n' for p, c in [("path", "label"), *PAIRS]), "utf-8"),
        ("t.csv", "".join(f"'{p}','{c}'\n" for p, c in [("path", "label"), *PAIRS]), "utf-8"),
        ("t.csv", "".join(f"{p};{c}\t\n" for p, c in [("path", "label"), *PAIRS]), "utf-8"),
        ("t.csv", ROWS, "utf-8"),
        ("t.csv", "".join(f"{c},{p}\n" for p, c in PAIRS), "utf-8"),
        ("t.csv", "".join(f"{n},{p},{c}\n" for n, (p, c) in enumerate(PAIRS)), "utf-8"),
        ("t.csv", "ImagePath,ClassName\n" + ROWS, "utf-8"),
        ("t.csv", "Datei;Klasse\n" + ROWS.replace(",", ";"), "utf-8"),
        ("t.csv", "fichier,étiquette\n" + ROWS, "utf-8"),
        ("t.csv", "archivo,etiqueta\n" + ROWS, "utf-8"),
        ("t.csv", "path,cat,dog\n" + "".join(f"{p},{c == 'cat'},{c == 'dog'}\n" for p, c in PAIRS), "utf-8"),
        ("t.json", json.dumps(dict(PAIRS), indent=1), "utf-8"),
        ("t.json", json.dumps([{"path": p, "label": c} for p, c in PAIRS], indent=1), "utf-8"),
    ],
)
def test_a_dialect_is_read_like_the_plain_table(root: Path, name: str, text: str, encoding: str) -> None:
    """Encodings, separators, comments, quotes, trailing commas, no header, names of columns, JSON of several forms."""
    (root / name).write_bytes(text.encode(encoding))
    assert [(entry.path, entry.label) for entry in dataset.find(root / name).entries] == PAIRS


def test_a_split_column_without_a_header_is_read(root: Path) -> None:
    """path, label and split without names: the column whose cells all state splits is the split."""
    (root / "t.csv").write_text("".join(f"{p},{c},{'test' if n == 5 else 'train'}\n" for n, (p, c) in enumerate(PAIRS)))
    listing = dataset.find(root / "t.csv")
    assert [entry.given for entry in listing.entries] == ["train"] * 5 + ["test"]
    assert any("read as path, label, split" in warning for warning in listing.warnings)


@pytest.mark.parametrize("empty", ["NaN", "nan", "null", "N/A", "<NA>", " "])
def test_what_programs_write_for_no_value_is_no_class(root: Path, empty: str) -> None:
    """Such rows are left out and counted."""
    (root / "t.csv").write_text("path,label\n" + ROWS.replace("img/0000.jpg,cat", f"img/0000.jpg,{empty}"))
    listing = dataset.find(root / "t.csv")
    assert {entry.label for entry in listing.entries} == {"cat", "dog"}
    assert listing.skipped == 1


@pytest.mark.parametrize("label", ["?", "-1", "None", "NA", "unknown"])
def test_labels_that_often_mean_none_are_classes_and_named(root: Path, label: str) -> None:
    """They may be classes, so they are read; a warning says how to leave them out."""
    (root / "t.csv").write_text("path,label\n" + ROWS.replace("img/0000.jpg,cat", f"img/0000.jpg,{label}"))
    assert any(repr(label) in warning and "missing" in warning for warning in dataset.read(root / "t.csv").warnings)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("path,label\nhttps://example.org/a.jpg,cat\n", "is a URL", "Download"),
        ("path,label\n/home/other/img/0000.jpg,cat\n", "lies outside", "There is img/0000.jpg: remove /home/other/ "),
        (
            "path,label\n../input/data/img/0000.jpg,cat\n",
            "lies outside",
            "There is img/0000.jpg: remove ../input/data/ ",
        ),
        ("path,label\nD:\\data\\img\\0000.jpg,cat\n", "none of the 1 files", "There is img/0000.jpg: remove D:/data/ "),
        ("path,label\nIMG/0000.jpg,cat\n", "none of the 1 files", "There is img/0000.jpg where the table says IMG/"),
        ("path,label\nimg/0000.jpg,c\0at\n", "line 2: a NUL byte", "path"),
    ],
)
def test_paths_of_another_machine_say_what_to_remove(root: Path, text: str, what: str, hint: str) -> None:
    """The file that is there is named, and the part of the path that is not."""
    (root / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=what) as caught:
        dataset.find(root / "t.csv")
    assert hint in caught.value.hint


def test_composed_and_decomposed_file_names_are_one(tmp_path: Path) -> None:
    """macOS writes é as two characters, most tables as one."""
    folder(tmp_path, {"e\u0301te\u0301": 2})
    (tmp_path / "t.csv").write_text("path,label\nété/0000.jpg,cat\nété/0001.jpg,dog\n", encoding="utf-8")
    assert [entry.path for entry in dataset.find(tmp_path / "t.csv").entries] == [
        "e\u0301te\u0301/0000.jpg",
        "e\u0301te\u0301/0001.jpg",
    ]


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (["0.5", "1.25", "2.5", "3.1", "4.0", "7.9"], "regression"),
        (["11", "12", "15", "19", "22", "30"], "regression"),
        (["cat|indoor", "dog|indoor", "cat|indoor", "dog|indoor", "cow|indoor", "cow|indoor"], "multi-label"),
        (["['cat', 'dog']", "['cat']", "['dog']", "['cat']", "['dog']", "['cat']"], "multi-label"),
    ],
)
def test_few_images_are_enough_to_see_that_a_task_is_not_supported(root: Path, labels: list[str], what: str) -> None:
    """A quantity or sets of labels, also where a table has six rows."""
    rows = "".join(f'{path},"{label}"\n' for (path, _), label in zip(PAIRS, labels, strict=True))
    (root / "t.csv").write_text("path,label\n" + rows)
    with pytest.raises(DatasetError, match=what):
        dataset.read(root / "t.csv")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": [], "annotations": []}', "{not json", ""])
def test_json_that_is_no_table_is_one_line(root: Path, text: str) -> None:
    """Nested beyond all bounds, another format, no JSON at all."""
    (root / "t.json").write_text(text)
    with pytest.raises(DatasetError) as caught:
        dataset.find(root / "t.json")
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_numbered_folders_hold_one_set(tmp_path: Path) -> None:
    """images_part_1/ and images_part_2/ with different files: none of them is lost."""
    folder(tmp_path, {"images_part_1": 8, "images_part_2": 4})
    rows = "".join(f"{number:04d},{'ab'[number % 2]}\n" for number in range(12))
    (tmp_path / "m.csv").write_text("image_id,dx\n" + rows)
    data = dataset.read(tmp_path / "m.csv")
    assert (len(data.items), data.unreadable) == (12, ())
    assert "the files of the table lie in images_part_1, images_part_2." in data.warnings


def test_folders_of_splits_in_the_paths_of_a_table_are_said(tmp_path: Path) -> None:
    """A table without a column split does not use them."""
    folder(tmp_path, {"train": 4, "test": 4})
    rows = [f"{'train' if n < 4 else 'test'}/{n:04d}.jpg,{'ab'[n % 2]}" for n in range(8)]
    (tmp_path / "m.csv").write_text("\n".join(("path,label", *rows)))
    assert any(
        "states no split, so test, train are read as one set" in w for w in dataset.read(tmp_path / "m.csv").warnings
    )


def test_a_stated_column_that_stands_twice_is_not_chosen_from(root: Path) -> None:
    """--label-column names one column."""
    (root / "m.csv").write_text("path,kind,kind\n" + ROWS.replace("\n", ",x\n"))
    with pytest.raises(DatasetError, match="2 columns are called 'kind': which one is the label"):
        dataset.find(root / "m.csv", ReadOptions(label_column="kind"))
