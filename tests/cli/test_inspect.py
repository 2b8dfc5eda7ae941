"""`tl-advise inspect` as a person calls it: tables, JSON, one line and exit 2 for what cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from photographs import folder, photo, save

from advisor import cli


def test_tables_say_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Layout, counts, split, sizes, duplicates, files set aside and warnings stand on standard output."""
    root = folder(tmp_path / "my [photos]", {"cat": 8, "dog": 8}, size=(120, 60))
    shutil.copy(root / "cat" / "0000.jpg", root / "dog" / "copy.jpg")
    (root / "dog" / "broken.jpg").write_bytes(b"")
    assert cli.run(["inspect", str(root)]) == 0
    text = capsys.readouterr().out
    for part in (
        "my [photos]",
        "one folder per class",
        "17 readable, 1 unreadable",
        "13 for training and validation, 4 for the test",
        "RGB 17",
        "removes 50% of an image",
        "labels differ",
        "cat/0000.jpg, dog/copy.jpg",
        "dog/broken.jpg",
        "empty file (0 bytes)",
        "--deep",
    ):
        assert part in text, part


def test_json_is_the_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one JSON object and nothing else, near-duplicates included with --deep."""
    folder(tmp_path / "train", {"cat": 6, "dog": 6}, size=(80, 80))
    folder(tmp_path / "val", {"cat": 3, "dog": 3}, start=40, size=(80, 80))
    save(photo(3, (80, 80)), tmp_path / "val" / "cat" / "leak.png")
    assert cli.run(["inspect", str(tmp_path), "--deep", "--json"]) == 0
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed["layout"] == "splits"
    assert printed["split"] == {"rule": "given", "fraction": 0.0, "pool": 12, "test": 7}
    assert printed["counts"]["test"] == {"cat": 4, "dog": 3}
    assert printed["duplicates"] == [
        {"kind": "near", "paths": ["train/cat/0003.jpg", "val/cat/leak.png"], "across": True, "labels_differ": False}
    ]
    assert printed["near_checked"] is True
    assert len(printed["fingerprint"]) == 64
    assert captured.err == ""


def test_leaks_come_with_the_option_that_removes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A leak is marked, and the next step is named."""
    folder(tmp_path / "train", {"cat": 4, "dog": 4})
    folder(tmp_path / "test", {"cat": 2, "dog": 2}, start=40)
    shutil.copy(tmp_path / "train/cat/0000.jpg", tmp_path / "test/cat/x.jpg")
    assert cli.run(["inspect", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "leak between training and test" in text
    assert "--remove-leaks" in text


def test_the_share_of_the_test_is_the_one_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of three images a class one is held out: a third, not the fifth that is aimed at."""
    folder(tmp_path, {"cat": 3, "dog": 3})
    assert cli.run(["inspect", str(tmp_path)]) == 0
    assert "2 for the test (33% held out as the test set" in capsys.readouterr().out


def test_an_archive_is_called_by_its_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not by the folder of the cache where its content lies."""
    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path, "photos")
    assert cli.run(["inspect", archive]) == 0
    assert capsys.readouterr().out.startswith(f"{archive}/photos\n")
    few = shutil.make_archive(str(tmp_path / "few"), "zip", folder(tmp_path / "few", {"cat": 1, "dog": 1}))
    assert cli.run(["inspect", few]) == 2
    assert capsys.readouterr().err.startswith(f"error: {few}: every class has one training image")


def test_many_classes_are_shortened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of many classes the largest and the smallest are shown."""
    folder(tmp_path, {f"class{n:02d}": 1 + (n == 7) for n in range(40)}, size=(8, 8))
    assert cli.run(["inspect", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "16 more" in text
    assert "class07" in text


def test_odd_names_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Emoji, brackets and bytes that are no UTF-8 reach the terminal as text."""
    root = folder(tmp_path, {"[bold]cat": 3, "🐶": 3, os.fsdecode(b"caf\xe9"): 3})
    (root / "🐶" / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    for options in ([], ["--json"], ["--deep"]):
        assert cli.run(["inspect", str(root), *options]) == 0
    text = capsys.readouterr().out
    assert "[bold]cat" in text
    assert "caf\\xe9" in text


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: None, "no such folder"),
        (lambda p: p.mkdir(), "is empty"),
        (lambda p: save(photo(1), p, format="JPEG"), "is a file, not a folder"),
        (lambda p: folder(p, {"only": 4}), "only one class"),
        (lambda p: folder(p, {"a": 1, "b": 1}), "every class has one training image"),
        (lambda p: p.symlink_to(p), "broken symbolic link"),
    ],
    ids=["missing", "empty", "file", "one class", "one image", "loop"],
)
def test_what_cannot_be_used_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, what: str
) -> None:
    """One line on standard error: what, where, what to do; nothing on standard output."""
    make(tmp_path / "data set")  # type: ignore[operator]
    assert cli.run(["inspect", str(tmp_path / "data set")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert what in captured.err
    assert "data set" in captured.err
    assert captured.err.count("\n") == 1


def test_truncated_files_that_leave_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where --deep leaves one class only, the answer is exit 2 as well."""
    root = folder(tmp_path, {"cat": 3, "dog": 3}, size=(100, 80))
    for path in (root / "dog").iterdir():
        path.write_bytes(path.read_bytes()[:-300])
    assert cli.run(["inspect", str(root)]) == 0
    assert cli.run(["inspect", str(root), "--deep"]) == 2
    assert "only one class" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--deep", "--json"]])
def test_inspect_imports_no_torch(tmp_path: Path, options: list[str]) -> None:
    """Neither torch nor scikit-learn is loaded on this path, deep or not."""
    root = folder(tmp_path, {"cat": 5, "dog": 5})
    code = (
        "import sys\nfrom advisor import cli\n"
        f"assert cli.run(['inspect', {str(root)!r}, *{options!r}]) == 0\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
