"""`tl-advise predict`: table, JSON and CSV say what the model says; what cannot be read is reported and left out."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import photographs
import pytest
import runs
from PIL import Image

from advisor import cli, registry
from advisor.cli import _predict_inputs
from advisor.models import predictor


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small network, and 24 photos beside it."""
    return runs.make(tmp_path_factory.mktemp("predict"))


def test_json_holds_what_the_model_says(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Class, probability and the top k of every image, as the loaded model gives them."""
    data = run.parent / "data"
    assert cli.run(["predict", str(run), str(data), "--top", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    paths = [row["path"] for row in printed["predictions"]]
    want = predictor.load(run, registry.load()).predict(paths)
    assert len(paths) == 24
    assert printed["classes"] == list(runs.CLASSES)
    assert [row["class"] for row in printed["predictions"]] == list(want.labels)
    got = np.array([row["probability"] for row in printed["predictions"]])
    assert np.allclose(got, want.probabilities.max(axis=1), atol=1e-6)
    assert all(row["top"][0]["probability"] >= row["top"][1]["probability"] for row in printed["predictions"])
    assert len(set(want.labels)) > 1


def test_csv_and_table_agree_with_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The three forms tell the same; --top beyond the classes gives all of them; a recipe's path stands for its run."""
    photo = str(run.parent / "data" / "roof" / "001.jpg")
    call = ["predict", str(run / "recipe.yaml"), photo, "--top", "9"]
    assert cli.run([*call, "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"][0]
    assert cli.run([*call, "--format", "csv"]) == 0
    head, line = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["path", "class", "probability", "class_2", "probability_2", "class_3", "probability_3"]
    assert line[0] == photo
    assert line[1::2] == [row["class"] for row in printed["top"]]
    assert np.allclose([float(p) for p in line[2::2]], [row["probability"] for row in printed["top"]], atol=1e-6)
    assert cli.run(call) == 0
    table = capsys.readouterr().out
    assert printed["class"] in table
    assert f"{100 * printed['probability']:.1f} %" in table


def test_explain_writes_one_picture_per_image(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PNGs of the model's input size, named by image and class; the predictions are the same as without."""
    photos = [str(path) for path in sorted((run.parent / "data" / "roof").iterdir())[:2]]
    assert cli.run(["predict", str(run), *photos, "--json"]) == 0
    without = capsys.readouterr().out
    assert cli.run(["predict", str(run), *photos, "--json", "--explain", str(tmp_path / "looks")]) == 0
    assert capsys.readouterr().out == without
    drawn = sorted((tmp_path / "looks").iterdir())
    assert [one.name[:9] for one in drawn] == [f"0000{n}-{Path(p).stem}" for n, p in enumerate(photos, start=1)]
    model = predictor.load(run, registry.load())
    for one in drawn:
        with Image.open(one) as picture:
            assert (picture.format, picture.size) == ("PNG", (model.size_px, model.size_px))


def test_images_unlike_the_training_images_are_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --abstain they are called unknown, in every form; false alarms on held-out images and the limit are printed."""
    run, photos = runs.make(tmp_path, "pocket"), sorted((tmp_path / "data").rglob("*.jpg"))
    runs.add_index(run, photos)
    Image.new("RGB", (64, 64), (90, 120, 150)).save(tmp_path / "grey.png")
    call = ["predict", str(run), str(photos[0]), str(tmp_path / "grey.png"), "--abstain", "0.1"]
    assert cli.run([*call, "--json"]) == 0
    shown = capsys.readouterr()
    familiar, grey = json.loads(shown.out)["predictions"]
    assert (familiar["label"], grey["label"]) == (familiar["class"], "unknown")
    assert grey["class"] in runs.CLASSES
    assert 0 < grey["unlike"] <= 0.1 < familiar["unlike"] <= 1
    assert "of 3 held-out test images would be called unknown" in shown.err
    assert "A new class that resembles a known one is not caught by this." in shown.err
    assert cli.run([*call, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["class"] for row in rows] == [familiar["class"], "unknown"]
    assert [float(row["unlike"]) for row in rows] == pytest.approx([familiar["unlike"], grey["unlike"]], abs=1e-6)
    assert cli.run(call) == 0
    assert "as unlike" in capsys.readouterr().out


def test_abstaining_needs_an_index_and_a_rate_that_it_can_tell(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model without an index still predicts; a damaged index and a rate below the smallest one are one line each."""
    photos = sorted((run.parent / "data").rglob("*.jpg"))
    assert cli.run(["predict", str(run), str(photos[0]), "--abstain", "0.1"]) == 2
    assert "it has no index of them" in capsys.readouterr().err
    copied = shutil.copytree(run, tmp_path / "run")
    runs.add_index(copied, photos)
    assert cli.run(["predict", str(copied), str(photos[0]), "--abstain", "0.001"]) == 2
    assert "21 images set the scale" in capsys.readouterr().err
    (copied / "unlike.safetensors").write_bytes(b"no tensors")
    assert cli.run(["predict", str(copied), str(photos[0])]) == 2
    assert "unlike.safetensors is damaged" in capsys.readouterr().err
    (copied / "unlike.safetensors").unlink()
    assert cli.run(["predict", str(copied), str(photos[0]), "--json"]) == 0
    assert "unlike" not in json.loads(capsys.readouterr().out)["predictions"][0]


def test_what_cannot_be_read_is_reported_and_left_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Broken, empty and foreign files, and names that are no UTF-8, do not stop the others."""
    shutil.copy(run.parent / "data" / "roof" / "001.jpg", tmp_path / "good.jpg")
    shutil.copy(run.parent / "data" / "roof" / "001.jpg", os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:300])
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("x")
    assert cli.run(["predict", str(run), str(tmp_path), "--json"]) == 0
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    assert [Path(row["path"]).name for row in printed["predictions"]] == ["caf\udce9.jpg", "good.jpg"]
    assert [Path(row["path"]).name for row in printed["unreadable"]] == ["broken.jpg", "empty.png"]
    lines = shown.err.splitlines()
    assert sum("cannot be read" in line and line.count("cannot be read") == 1 for line in lines) == 2
    assert "1 file skipped: not an image by name." in lines


def test_a_path_keeps_its_bytes_in_csv(run: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A program that reads the CSV finds the file again, whatever its name is made of."""
    name = os.fsencode(tmp_path) + b"/a,\xe9.jpg"
    shutil.copy(run.parent / "data" / "roof" / "001.jpg", name)
    assert cli.run(["predict", str(run), os.fsdecode(name), "--format", "csv"]) == 0
    assert b'"' + name + b'",' in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["{run}", "gone.jpg"], "error: no such file or folder: gone.jpg."),
        (["{run}", "{run}/splits.csv"], "error: none of the images can be read."),
        (["{run}/gone", "{photo}"], "holds no model.json"),
        (["{run}", "{photo}", "--device", "cuda:99"], "error: --device cuda:99: "),
        (["{run}", "{photo}", "--format", "xml"], "error: --format xml: not possible here."),
    ],
)
def test_bad_calls_are_one_line(run: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong path, a run without a model, nothing readable and an unknown format: exit 2 and one line."""
    photo = run.parent / "data" / "roof" / "001.jpg"
    call = [text.format(run=run, photo=photo) for text in arguments]
    assert cli.run(["predict", *call]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert line in shown.err.splitlines()[-1]


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_paths_on_standard_input_are_classified(
    run: Path, separator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`find photos | tl-advise predict RUN -`: paths one per line, or separated by zero bytes."""
    photos = sorted(str(path) for path in (run.parent / "data" / "roof").iterdir())[:3]
    text = separator.join([*photos, ""]).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert cli.run(["predict", str(run), "-", "--json"]) == 0
    assert [row["path"] for row in json.loads(capsys.readouterr().out)["predictions"]] == photos


@pytest.mark.parametrize(
    ("separator", "end", "names"),
    [
        ("\0", "\0", [" a\nb .jpg", "c\u2028d.jpg", "e\r", "plain.jpg"]),
        ("\n", "", ["c\u2028d.jpg", "\x85\x0b.jpg", " f .jpg", "plain.jpg"]),
        ("\r\n", "\r\n", [" f .jpg", "plain.jpg"]),
    ],
)
def test_names_on_standard_input_keep_every_character(
    separator: str, end: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names end at zero bytes where there are some, else at line ends, and nowhere else."""
    photos = [str(tmp_path / name) for name in names]
    for photo in photos:
        shutil.copy(photographs.save(photographs.photo(3), tmp_path / "photo.jpg"), photo)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(separator.join(photos) + end))))
    assert _predict_inputs.images(["-"]) == ([(photo, photo) for photo in photos], 0, [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "sep=;\npath;label\n{photo};x\n"),
        ("l.csv", "# made by hand\n\npath|label\n{photo}|x\n"),
        ("l.csv", "'path','label'\n'{photo}','x'\n"),
        ("l.csv", "{photo},x\n"),
        ("l.csv", "path\n{photo}\n"),
        ("l.csv", "{photo}\n"),
        ("l.txt", "{photo} roof\n"),
        ("l.txt", "{photo}\n"),
    ],
)
def test_lists_have_the_dialects_of_data_sets(name: str, text: str, tmp_path: Path) -> None:
    """What a data set can be read from names its images to predict as well."""
    photo = str(photographs.save(photographs.photo(3), tmp_path / "a photo.jpg"))
    (tmp_path / name).write_text(text.format(photo=photo))
    assert _predict_inputs.images([str(tmp_path / name)]) == ([(photo, photo)], 0, [])


def test_a_line_of_a_list_that_is_no_path_ends_nothing_else(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name too long for a file system is unreadable; a cell too long for a table is one line with its number."""
    photo = run.parent / "data" / "roof" / "001.jpg"
    (tmp_path / "list.csv").write_text(f"path\n{'x' * 300}.jpg\n{photo}\n{'y/' * 3000}z.jpg\n")
    assert cli.run(["predict", str(run), str(tmp_path / "list.csv"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["path"] for row in printed["predictions"]] == [str(photo)]
    assert len(printed["unreadable"]) == 2
    (tmp_path / "huge.csv").write_text(f"path,note\n{photo},\n{photo},{'x' * 140_000}\n")
    assert cli.run(["predict", str(run), str(tmp_path / "huge.csv"), "--json"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "huge.csv, line 3: field larger than field limit" in line


def test_pictures_of_long_names_are_written_and_others_are_counted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names in scripts of three bytes a letter are cut to what fits; a picture that cannot be written ends nothing."""
    photo = run.parent / "data" / "roof" / "001.jpg"
    photos = [tmp_path / name for name in ("\u732b" * 80 + ".jpg", "b.jpg", "c.jpg")]
    for path in photos:
        shutil.copy(photo, path)
    looks = tmp_path / "looks"
    call = ["predict", str(run), *map(str, photos), "--json", "--explain", str(looks)]
    assert cli.run(call) == 0
    drawn = sorted(looks.iterdir())
    assert len(drawn) == 3
    assert drawn[0].name.startswith("00001-" + "\u732b" * 26 + "-")
    drawn[0].unlink()
    drawn[1].unlink()
    drawn[1].mkdir()
    capsys.readouterr()
    assert cli.run(call) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["predictions"]) == 3
    assert "1 picture could not be written" in shown.err
    assert drawn[0].is_file()


def test_images_of_an_archive_are_classified(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ZIP gives the answers of its folder, under its own name."""
    archive = shutil.make_archive(str(tmp_path / "new"), "zip", run.parent / "data" / "roof")
    assert cli.run(["predict", str(run), str(run.parent / "data" / "roof"), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)["predictions"]
    assert cli.run(["predict", str(run), archive, "--json"]) == 0
    packed = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["class"] for row in packed] == [row["class"] for row in plain]
    assert packed[0]["path"] == f"{archive}/{Path(plain[0]['path']).name}"


def test_lists_take_the_usual_columns_and_places(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list elsewhere with paths from the current folder; a column called image_id."""
    monkeypatch.chdir(run.parent)
    (tmp_path / "list.csv").write_text("note;image_id\nx;data/roof/001.jpg\n")
    assert cli.run(["predict", str(run), str(tmp_path / "list.csv"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 1


def test_a_list_may_hold_what_is_missing_or_written_elsewhere(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One missing file ends nothing, wherever it stands; Windows' separators and marks are read; other text is refused."""
    photo = str(run.parent / "data" / "roof" / "001.jpg")
    for lines in (f"gone.jpg\n{photo}\n", f"\ufeff{photo}\r\ngone.jpg\r\n"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert cli.run(["predict", str(run), "-", "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert [row["path"] for row in printed["predictions"]] == [photo]
        assert [row["path"] for row in printed["unreadable"]] == ["gone.jpg"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"gone.jpg\nlost.jpg\n")))
    assert cli.run(["predict", str(run), "-"]) == 2
    assert "neither an image nor a list of existing files (first line: gone.jpg)" in capsys.readouterr().err
    shutil.copytree(run.parent / "data" / "roof", tmp_path / "roof")
    (tmp_path / "list.csv").write_text("path,note\nroof\\001.jpg,x\nhttps://127.0.0.1:9/a.jpg,y\n")
    assert cli.run(["predict", str(run), str(tmp_path / "list.csv"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["path"] for row in printed["predictions"]] == [str(tmp_path / "roof/001.jpg")]
    assert [row["path"] for row in printed["unreadable"]] == ["https://127.0.0.1:9/a.jpg"]
