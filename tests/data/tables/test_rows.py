"""CSV and TSV manifests: what is read, and what is refused with its line number."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from photographs import folder

from advisor.data import dataset
from advisor.data.layouts import manifest
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six photographs in img/, 0000.jpg to 0005.jpg."""
    return folder(tmp_path, {"img": 6})


def write(root: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    path = root / name
    path.write_bytes(text.encode(encoding, "surrogateescape"))
    return path


ROWS = "".join(f"img/{i:04d}.jpg,{'cat' if i < 3 else 'dog'}\n" for i in range(6))


def test_path_and_label_are_enough(root: Path) -> None:
    """Two columns make a data set without splits and groups."""
    listing = dataset.find(write(root, "path,label\n" + ROWS))
    assert [(e.path, e.label, e.given, e.group) for e in listing.entries][:1] == [("img/0000.jpg", "cat", "", "")]
    assert len(listing.entries) == 6
    assert not listing.has_groups


def test_splits_and_groups_are_read(root: Path) -> None:
    """Optional columns, in any order, beside columns that we do not know."""
    rows = ("x,p1,train,cat,img/0000.jpg", "y,p1,VALID,dog,img/0001.jpg", ",,test,dog,img/0002.jpg")
    text = "\n".join(("camera,group,split,label,path", *rows))
    listing = dataset.find(write(root, text))
    assert [(e.given, e.group) for e in listing.entries] == [("train", "p1"), ("val", "p1"), ("test", "")]
    assert listing.has_groups


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("a.tsv", "\t", "utf-8"),
        ("a.csv", ";", "utf-8"),
        ("a.csv", "\t", "utf-8"),
        ("a.csv", ",", "utf-8-sig"),
        ("a.CSV", ",", "utf-8"),
    ],
)
def test_what_spreadsheets_write_is_read(root: Path, name: str, separator: str, encoding: str) -> None:
    """Tabs, semicolons, a byte-order mark, carriage returns, quotes, spaces and blank lines."""
    lines = ["Path,Label", '"img/0000.jpg","cat"', "", " img/0001.jpg , dog ", ",", ""]
    path = write(root, "\r\n".join(lines).replace(",", separator), name, encoding)
    listing = dataset.find(path)
    assert [(e.path, e.label) for e in listing.entries] == [("img/0000.jpg", "cat"), ("img/0001.jpg", "dog")]


def test_the_only_manifest_in_a_folder_is_found(root: Path) -> None:
    """A folder that holds one manifest and no class folders is read by it; beside class folders both readings are given."""
    write(root, "path,label\n" + ROWS)
    assert dataset.find(root).layout == "manifest"
    folder(root, {"other": 2}, start=50)
    with pytest.raises(DatasetError, match=r"the folders \(img, other\) or the labels \(cat, dog\) of labels\.csv"):
        dataset.find(root)


def test_two_manifests_or_other_tables_are_not_guessed_at(root: Path) -> None:
    """Which of two manifests is meant cannot be known, and a table without path and label is none."""
    write(root, "a,b\n1,2\n", "numbers.csv")
    assert manifest.only_table(root) is None
    write(root, "path,label\n" + ROWS)
    assert manifest.only_table(root) is None


def test_paths_are_normalised_and_relative(root: Path) -> None:
    """./, doubled slashes, backslashes and absolute paths below the manifest mean the same file."""
    text = f"path,label\n./img//0000.jpg,cat\nimg\\0001.jpg,dog\n{root}/img/0002.jpg,dog\nimg/../img/0003.jpg,cat\n"
    listing = dataset.find(write(root, text))
    assert [e.path for e in listing.entries] == [f"img/000{i}.jpg" for i in range(4)]


def test_names_with_stray_bytes_are_found(root: Path) -> None:
    """A path with bytes that are no UTF-8 is found as it lies on the disk."""
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    (root / "img" / "0000.jpg").rename(root / "img" / name)
    listing = dataset.find(write(root, f"path,label\nimg/{name},cat\nimg/0001.jpg,dog\n"))
    assert [e.path for e in listing.entries] == ["img/0001.jpg", f"img/{name}"]


@pytest.mark.parametrize(
    ("head", "roles"),
    [
        ("img_uri,label", "img_uri as path"),
        ("id,kind", "id as path, kind as label"),
        ("photo_of,kind", "photo_of as path, kind as label"),
    ],
)
def test_columns_are_known_by_what_is_left(root: Path, head: str, roles: str) -> None:
    """Names of images tell the path, the only other column is the label, and both are said."""
    listing = dataset.find(write(root, f"{head}\n" + ROWS))
    assert [e.label for e in listing.entries] == ["cat"] * 3 + ["dog"] * 3
    assert f"columns read: {roles}." in listing.warnings


def test_a_table_of_unusual_columns_in_a_folder_is_used(root: Path) -> None:
    """One column per class, or one other column, beside a folder of images, by names without suffix."""
    rows = "".join(f"{i:04d},{int(i < 3)}.0,{int(i > 2)}.0\n" for i in range(6))
    table = write(root, "image,cat,dog\n" + rows, "GroundTruth.csv")
    assert {e.label for e in dataset.find(root).entries} == {"cat", "dog"}
    table.unlink()
    write(root, "id,kind\n" + ROWS, "all.csv")
    assert {e.label for e in dataset.find(root).entries} == {"cat", "dog"}


def test_text_of_windows_is_read_in_both_spellings_of_names(root: Path) -> None:
    """Labels of Windows-1252 are words; files are found under names in UTF-8 and in the bytes of the table."""
    (root / "img" / "0000.jpg").rename(root / "img" / "café.jpg")
    (root / "img" / "0001.jpg").rename(root / "img" / os.fsdecode(b"th\xe9.jpg"))
    listing = dataset.find(write(root, "path,label\nimg/café.jpg,Blüte\nimg/thé.jpg,Ast\n", encoding="cp1252"))
    assert {(e.label, e.path) for e in listing.entries} == {
        ("Blüte", "img/café.jpg"),
        ("Ast", "img/" + os.fsdecode(b"th\xe9.jpg")),
    }
    assert any("read as Windows-1252" in w for w in listing.warnings)


def test_text_of_no_known_encoding_is_escaped(root: Path) -> None:
    """Chinese of GB 2312 is not shown as Western letters and signs."""
    listing = dataset.find(write(root, "path,label\nimg/0000.jpg,玫瑰\nimg/0001.jpg,百合\n", encoding="gb2312"))
    assert all("\\x" in e.label for e in listing.entries)


def test_spaces_separate_columns_where_nothing_else_does(root: Path) -> None:
    """A CSV with spaces, and none of the usual separators."""
    listing = dataset.find(write(root, "path label\n" + ROWS.replace(",", " ")))
    assert {e.label for e in listing.entries} == {"cat", "dog"}


def test_a_packed_table_is_read(root: Path) -> None:
    """CSV and JSON Lines called .gz are read as they are; a damaged one is one line."""
    (root / "a.csv.gz").write_bytes(gzip.compress(("path,label\n" + ROWS).encode()))
    lines = "".join(f'{{"path": "img/{i:04d}.jpg", "label": "{i % 2}"}}\n' for i in range(6))
    (root / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert [len(dataset.find(root / name).entries) for name in ("a.csv.gz", "b.jsonl.gz")] == [6, 6]
    (root / "a.csv.gz").write_bytes((root / "a.csv.gz").read_bytes()[:30])
    with pytest.raises(DatasetError, match=r"cannot read .*a\.csv\.gz"):
        dataset.find(root / "a.csv.gz")


def test_missing_files_are_set_aside_with_their_line(root: Path) -> None:
    """A file that is not there is listed; the rest is read."""
    listing = dataset.find(write(root, "path,label\nimg/0000.jpg,cat\nimg/none.jpg,dog\nimg/0001.jpg,dog\n"))
    assert len(listing.entries) == 2
    assert [(u.path, u.reason) for u in listing.unreadable] == [
        ("img/none.jpg", "file not found (line 3 of the manifest)")
    ]


def test_repeated_rows_are_read_once(root: Path) -> None:
    """The same row twice is one image and a warning."""
    listing = dataset.find(write(root, "path,label\n" + ROWS + "./img/0000.jpg,cat\n"))
    assert len(listing.entries) == 6
    assert any("repeated" in w for w in listing.warnings)


@pytest.mark.parametrize(
    ("name", "other"),
    [("img/0000.jpg", "img/0000"), ("img/0000", "img/0000.jpg"), ("img/caf\u00e9.jpg", "img/cafe\u0301.jpg")],
    ids=["without suffix", "with suffix", "composed"],
)
def test_two_spellings_of_one_file_are_one_image(root: Path, name: str, other: str) -> None:
    """Equal rows are read once; another class, split or group of the same file is refused with both lines."""
    (root / "img" / "0005.jpg").rename(root / "img" / "caf\u00e9.jpg")
    head = f"path,label,split,group\nimg/0001.jpg,dog,test,q\n{name},cat,train,p\n"
    listing = dataset.find(write(root, f"{head}{other},cat,train,p\n"))
    assert len(listing.entries) == 2
    assert any("1 row of the table is repeated" in w for w in listing.warnings)
    for facts in ("dog,train,p", "cat,test,p", "cat,train,q"):
        with pytest.raises(
            DatasetError, match=r"labels\.csv, line 4: img/.* has other values on line 3 \(as img/"
        ) as caught:
            dataset.find(write(root, f"{head}{other},{facts}\n"))
        assert "keep one of the rows" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no column 'path'"),
        ("path,label\n", "lists no images"),
        ("photo_of,label\none,cat\n", "no column 'path'.*columns: photo_of, label.*--path-column photo_of"),
        ("path,lable,size\nimg/0000.jpg,cat,1\n", "no column 'label'.*is it 'lable'"),
        ("path,label,split\nimg/0000.jpg,cat,north\n", "line 2: unknown split 'north'"),
        ("path,label\nimg/0000.jpg,\n,cat\n", "no row has a path and a label"),
        ("path,label\nimg/0000.jpg\n", "line 2: 1 fields where the first line has 2"),
        (
            "path,label\nimg/0000.jpg,cat\n./img/0000.jpg,dog\n",
            "line 3: img/0000.jpg has other values on line 2",
        ),
        (
            "path,label,split\nimg/0000.jpg,cat,train\nimg/0000.jpg,cat,test\n",
            "line 3.*line 2. An image has one .*keep one",
        ),
        ("path,label\n/elsewhere/a.jpg,cat\n", "line 2: path /elsewhere/a.jpg lies outside"),
        ("path,label\nnone.jpg,cat\nnada.jpg,dog\n", "none of the 2 files exists"),
        ('path,label\n"img/0000.jpg,cat\n', "line 2"),
        ("path,label\n" + "x" * 200_000 + ",cat\n", "line 2"),
    ],
)
def test_what_would_change_the_data_is_refused_with_its_line(root: Path, text: str, what: str) -> None:
    """A wrong column, label, split or path is one line with where it stands and what is expected."""
    with pytest.raises(DatasetError, match=what) as caught:
        dataset.read(write(root, text))
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\n\npath,label\n" + ROWS, "utf-8"),
        ("sep=;\n" + ("path,label\n" + ROWS).replace(",", ";"), "utf-8"),
        (("path,label\n" + ROWS).replace(",", "|"), "utf-8"),
        ("path,label\n" + ROWS, "utf-16"),
        ("file_name,class\n" + ROWS, "utf-8"),
        ("Image Path,Category\n" + ROWS, "utf-8"),
        ("image_id,target\n" + ROWS.replace(".jpg", ""), "utf-8"),
        ("image,cat,dog\n" + ROWS.replace(",cat", ",1,0").replace(",dog", ",0,1"), "utf-8"),
    ],
)
def test_tables_of_many_dialects_are_read(root: Path, text: str, encoding: str) -> None:
    """Blank first lines, sep=, bars, UTF-16, usual other columns, names without suffix, one column per class."""
    listing = dataset.find(write(root, text, encoding=encoding))
    assert [(e.path, e.label) for e in listing.entries] == [
        (f"img/{i:04d}.jpg", "cat" if i < 3 else "dog") for i in range(6)
    ]


def test_columns_that_are_not_used_are_listed_with_their_option(root: Path) -> None:
    """patient_id and is_valid could matter: the options that would use them are named, and work."""
    rows = "".join(f"{line},p{i // 2},{'True' if i in (2, 5) else 'False'}\n" for i, line in enumerate(ROWS.split()))
    path = write(root, "path,label,patient_id,is_valid\n" + rows)
    warnings = " ".join(dataset.find(path).warnings)
    assert "--group-column patient_id" in warnings
    assert "--split-column is_valid" in warnings
    listing = dataset.find(path, ReadOptions(group_column="patient_id", split_column="is_valid"))
    assert [e.given for e in listing.entries].count("val") == 2
    assert listing.has_groups


def test_rows_without_a_label_are_left_out_and_counted(root: Path) -> None:
    """An unlabelled test split, or one gap, does not cost the rest."""
    listing = dataset.find(
        write(root, "path,label,split\nimg/0000.jpg,cat,train\nimg/0001.jpg,,test\nimg/0002.jpg,dog,\n")
    )
    assert len(listing.entries) == 2
    assert listing.skipped == 1
    assert any("1 row of the test split without a label is left out" in w for w in listing.warnings)


def test_one_rule_for_paths_outside_of_the_root(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """../ and absolute paths that leave the folder are refused, with --root; a linked parent is the same folder."""
    inner = root / "tables"
    inner.mkdir()
    outside = write(inner, "path,label\n../img/0000.jpg,cat\n../img/0001.jpg,dog\n")
    with pytest.raises(DatasetError, match=r"line 2: path \.\./img/0000\.jpg lies outside") as caught:
        dataset.find(outside)
    assert "--root" in caught.value.hint
    assert len(dataset.find(outside, ReadOptions(root=str(root))).entries) == 2
    link = tmp_path_factory.mktemp("link") / "data"
    link.symlink_to(root)
    table = write(root, f"path,label\n{link}/img/0000.jpg,cat\n{root}/img/0001.jpg,dog\n", "absolute.csv")
    assert [e.path for e in dataset.find(table).entries] == ["img/0000.jpg", "img/0001.jpg"]


@pytest.mark.parametrize("name", ["img/0000.png", "img/0000.JPG"])
def test_missing_files_with_another_suffix_or_case_are_named(root: Path, name: str) -> None:
    """Where nothing exists, the file that differs in suffix or case only is shown."""
    with pytest.raises(DatasetError, match="none of the 1 files exists") as caught:
        dataset.find(write(root, f"path,label\n{name},cat\n"))
    assert "There is img/0000.jpg" in caught.value.hint


def test_two_columns_of_one_name_are_not_chosen_from(root: Path) -> None:
    """They may differ, and a reader of columns by name would take the last one."""
    path = write(root, "path,label,Label\n" + ROWS.replace("\n", ",x\n"))
    with pytest.raises(DatasetError, match="2 columns are called 'label': which one is the label"):
        dataset.find(path)
