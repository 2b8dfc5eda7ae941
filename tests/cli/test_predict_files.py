"""What `predict` leaves on the disk: nothing where no image can be read, and no second copy of an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import runs

from advisor import cli


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small network, and 24 photos beside it."""
    return runs.make(tmp_path_factory.mktemp("predict"))


@pytest.mark.parametrize("name", ["answers.csv", "answers.json"])
def test_without_a_readable_image_no_file_is_written(
    run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of an earlier call stays as it was, and none appears where none was; standard error names the image."""
    broken, out = tmp_path / "broken.jpg", tmp_path / name
    broken.write_bytes(b"no image")
    assert cli.run(["predict", str(run), str(broken), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "broken.jpg cannot be read" in error
    assert "none of the images can be read" in error
    assert sorted(tmp_path.iterdir()) == [broken]
    out.write_text("earlier")
    assert cli.run(["predict", str(run), str(broken), "--out", str(out)]) == 2
    assert out.read_text() == "earlier"


def test_without_a_readable_image_standard_output_holds_one_document(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json a program still reads which images could not be read, and why."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    assert cli.run(["predict", str(run), str(broken), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["predictions"] == []
    assert [file["path"] for file in document["unreadable"]] == [str(broken)]


def test_sorting_again_copies_nothing_again(run: Path, tmp_path: Path) -> None:
    """A second call with the same images leaves the folder as the first did."""
    photos = sorted((run.parent / "data").rglob("*.jpg"))[:3]
    call = ["predict", str(run), *map(str, photos), "--sort-into", str(tmp_path / "to"), "--quiet"]
    assert cli.run(call) == 0
    first = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(first) == 3
    assert cli.run(call) == 0
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == first
