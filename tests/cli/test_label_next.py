"""Which images to label next: new ones that the model is unsure of, unlike ones apart."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import runs
from PIL import Image

import advisor
from advisor import cli
from advisor.errors import InputError


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an index, and a folder of ten new photos, one of the run's own, and one of something else."""
    run = runs.make(tmp_path_factory.mktemp("label"), "pocket")
    photos = sorted((run.parent / "data").rglob("*.jpg"))
    runs.add_index(run, photos)
    new = run.parent / "new"
    new.mkdir()
    for number, photo in enumerate(photos[:10]):
        Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(new / f"{number}.png")
    (new / "own.jpg").write_bytes(photos[0].read_bytes())
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 255)
    Image.fromarray(stripes).save(new / "stripes.png")
    return run


def test_unsure_images_come_first_and_the_runs_own_are_left_out(run: Path) -> None:
    """The first is the one with the least margin; an image with the bytes of a run's image is not proposed."""
    result = advisor.label_next(run, run.parent / "new", count=50)
    assert (result.examined, result.used) == (11, 1)
    names = [Path(one.path).name for one in result.ranked]
    assert sorted([*names, *(Path(one.path).name for one in result.apart)]) == sorted(
        [*(f"{n}.png" for n in range(10)), "stripes.png"]
    )
    assert result.ranked[0].uncertainty == max(one.uncertainty for one in result.ranked)
    assert "stripes.png" in [Path(one.path).name for one in result.apart]
    with pytest.raises(InputError, match="are among those of"):
        advisor.label_next(run, run.parent / "data")


def test_the_command_lists_the_same_in_every_form(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON is the record, CSV has both lists, the table names the first images."""
    call = ["label-next", str(run), str(run.parent / "new"), "--count", "3", "--quiet"]
    assert cli.run([*call, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["ranked"]) == 3
    assert cli.run([*call, "--out", str(tmp_path / "next.csv")]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "next.csv").read_text(encoding="utf-8"))))
    assert [row["path"] for row in rows if row["list"] == "ranked"] == [one["path"] for one in printed["ranked"]]
    assert [row["path"] for row in rows if row["list"] == "unlike"] == [one["path"] for one in printed["apart"]]
    assert cli.run(call) == 0
    assert Path(printed["ranked"][0]["path"]).name in capsys.readouterr().out


def test_json_is_utf_8_and_a_table_goes_into_no_file(
    run: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A name that is not UTF-8 is read back as it is; a table with --out is refused, as `predict` does."""
    name = tmp_path / "new" / os.fsdecode(b"caf\xe9.png")
    name.parent.mkdir()
    shutil.copy(run.parent / "new" / "0.png", name)
    call = ["label-next", str(run), str(name.parent), "--quiet"]
    assert cli.run([*call, "--json"]) == 0
    printed = json.loads(capfdbinary.readouterr().out.decode("utf-8"))
    assert [one["path"] for one in (*printed["ranked"], *printed["apart"])] == [str(name)]
    assert cli.run([*call, "--format", "table", "--out", str(tmp_path / "next.csv")]) == 2
    assert b"--format table: not possible" in capfdbinary.readouterr().err
    assert not (tmp_path / "next.csv").exists()


def test_an_export_for_this_tool_keeps_the_index(run: Path, tmp_path: Path) -> None:
    """`export --format safetensors` carries the index of training images: the same shares as in the run."""
    exported = advisor.export(run, format="safetensors", out=tmp_path / "export")
    assert "unlike.safetensors" in exported.files
    photos = sorted((run.parent / "new").glob("*.png"))
    ours, theirs = (advisor.load(folder).predict(photos).unlike for folder in (run, tmp_path / "export"))
    assert ours is not None
    assert theirs is not None
    assert ours.tolist() == theirs.tolist()
