"""A run's model on other labelled images: the scores of scikit-learn, what differs, and what cannot be scored."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import results
import runs
from PIL import Image
from sklearn import metrics as reference

import advisor
from advisor import cli
from advisor.errors import InputError
from advisor.metrics import intervals
from advisor.models import model_files
from advisor.records import Ensemble, EnsembleValidation
from advisor.records.objective import DecisionRule
from advisor.runtime.atomic_file import to_json
from advisor.workflows.finished import evaluation


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an index, and its 24 photos beside it."""
    run = runs.make(tmp_path_factory.mktemp("evaluate"), "pocket")
    runs.add_index(run, sorted((run.parent / "data").rglob("*.jpg")))
    return run


@pytest.fixture(name="other")
def _other(run: Path, tmp_path: Path) -> Path:
    """The run's photos without a class, with another class that the model does not know, and a broken file."""
    other = shutil.copytree(run.parent / "data", tmp_path / "other")
    shutil.rmtree(other / "roof")
    for number in range(3):
        photo = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        (other / "boat").mkdir(exist_ok=True)
        Image.fromarray(photo).save(other / "boat" / f"{number}.png")
    (other / "flower" / "broken.jpg").write_bytes(b"no image")
    return other


def test_scores_are_scikit_learns(run: Path, other: Path) -> None:
    """Accuracy, F1 per class and confusion, on images of known classes alone; the rest is counted."""
    result = advisor.evaluate(run, other)
    photos = sorted(p for p in other.rglob("*.jpg") if p.name != "broken.jpg")
    answers = advisor.load(run).predict(photos)
    truth = [Path(path).parent.name for path in answers.paths]
    assert result.test.n == len(photos) == 16
    assert result.test.accuracy == pytest.approx(reference.accuracy_score(truth, answers.labels))
    f1 = reference.f1_score(truth, answers.labels, labels=["flower", "sky & cloud"], average=None, zero_division=0)
    assert [result.f1["flower"], result.f1["sky & cloud"]] == pytest.approx(f1.tolist())
    confusion = reference.confusion_matrix(truth, answers.labels, labels=list(runs.CLASSES))
    assert np.array_equal(result.test.confusion, confusion)
    assert answers.unlike is not None
    assert result.unlike == pytest.approx((answers.unlike <= 0.05).mean())
    assert (result.unknown_classes, result.missing_classes) == ({"boat": 3}, ("roof",))
    assert [file.path for file in result.unreadable] == [str(other / "flower" / "broken.jpg")]
    assert result.seen == sum(int(Path(path).stem) % 4 != 0 for path in answers.paths)  # those that the run trained on


def test_the_command_writes_and_prints_the_same(
    run: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON is the record; --out holds tables and a page; notes name what is not scored."""
    assert cli.run(["evaluate", str(run), str(other), "--quiet", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    out = tmp_path / "evaluation"
    assert cli.run(["evaluate", str(run), str(other), "--quiet", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert f"{100 * printed['test']['accuracy']:.1f} % of 16 images are right" in shown.out
    assert "3 images of classes that the model does not know are not scored: boat (3)" in shown.err
    assert "are training images of the run: the score is too good" in shown.err
    with open(out / "per_class.csv", encoding="utf-8", newline="") as stream:
        assert [row["class"] for row in csv.DictReader(stream)] == list(runs.CLASSES)
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8")) == printed
    assert {file.name for file in out.iterdir()} >= {"predictions.csv", "confusion.csv", "report.html"}
    assert not {"trials", "lock"} & {file.name for file in out.iterdir()}
    assert "<script" not in (out / "report.html").read_text(encoding="utf-8")


def test_an_unreadable_file_of_an_archive_is_named_with_the_archive(run: Path, other: Path, tmp_path: Path) -> None:
    """Not with the folder of the cache in which it was unpacked."""
    packed = shutil.make_archive(str(tmp_path / "photos"), "zip", other)
    assert [file.path for file in advisor.evaluate(run, packed).unreadable] == [f"{packed}/flower/broken.jpg"]


def test_what_cannot_be_scored_is_one_line(run: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only unknown classes, a split without images, an option that does not exist."""
    assert cli.run(["evaluate", str(run), str(other), "--quiet", "--split", "test"]) == 2
    assert "no images of the split test" in capsys.readouterr().err
    shutil.rmtree(other / "flower")
    shutil.rmtree(other / "sky & cloud")
    (other / "ship").mkdir()
    shutil.copy(other / "boat" / "0.png", other / "ship")
    with pytest.raises(InputError, match="no image has a class that the model knows; the classes there are boat, ship"):
        advisor.evaluate(run, other)
    with pytest.raises(InputError, match="no option 'colour'"):
        advisor.evaluate(run, other, colour="red")


def test_offline_and_the_largest_image_hold_here_too(
    run: Path, other: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL is not asked for, and --max-pixels bounds what is decoded."""
    monkeypatch.setenv("TL_ADVISE_MAX_PIXELS", "1000000")
    assert cli.run(["evaluate", str(run), "https://127.0.0.1:9/photos.zip", "--offline"]) == 2
    assert "was not fetched before" in capsys.readouterr().err
    assert cli.run(["evaluate", str(run), str(other), "--max-pixels", "100"]) == 2
    assert "none of the 17 images can be read" in capsys.readouterr().err


def test_an_ensemble_is_compared_with_its_own_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The change is from what the ensemble scored on the locked test, not the single model."""
    made = runs.make(tmp_path, "pocket")
    data = made.parent / "data"
    folder = runs.add_ensemble(made, sorted(data.rglob("*.jpg")))
    stored = results.final()
    assert stored.test is not None
    scores = replace(stored.test, accuracy=0.25, ci95=(0.1, 0.4))
    validation = EnsembleValidation(accuracy=0.5, single_accuracy=0.5, log_loss=1.0, single_log_loss=1.0, n=10)
    ensemble = Ensemble(
        members=(),
        validation=validation,
        test=scores,
        ece=None,
        over_single=None,
        ci95=None,
        beats_single=None,
        files={},
    )
    both = replace(stored, ensemble=ensemble)
    (made / "result.json").write_text(to_json(both), encoding="utf-8")
    shown = {}
    for more in ([], ["--ensemble"]):
        assert cli.run(["evaluate", str(made), str(data), "--quiet", "--json", *more]) == 0
        shown[bool(more)] = json.loads(capsys.readouterr().out)
    assert shown[False]["shift"]["test_accuracy"] == stored.test.accuracy
    assert shown[True]["shift"]["test_accuracy"] == 0.25
    assert shown[True]["shift"]["accuracy"] == pytest.approx(shown[True]["test"]["accuracy"] - 0.25)
    from_python = advisor.evaluate(folder, data)  # the folder of the ensemble names the same model and its run
    assert from_python.shift is not None
    assert (from_python.shift.test_accuracy, from_python.seen) == (0.25, shown[True]["seen"])
    with pytest.raises(InputError, match=f"all 24 images are among those of {made} already"):
        advisor.label_next(folder, data)


def test_a_rule_that_gives_up_accuracy_is_no_model_that_has_not_learned(run: Path, tmp_path: Path) -> None:
    """Costs that make it answer one class always leave its probabilities as good as they are, as a run says too."""
    made, photos = shutil.copytree(run, tmp_path / "run"), sorted((run.parent / "data").rglob("*.jpg"))
    answers = advisor.load(run).predict(photos)
    for photo, label in zip(photos, answers.labels, strict=True):  # so that its most probable classes are all right
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, tmp_path / "data" / label)
    rare = min(set(answers.labels), key=answers.labels.count)
    always = tuple(0.0 if name == rare else 9.0 for name in runs.CLASSES)
    model_files.add_decision(made, DecisionRule(costs=(always,) * 3))
    assert set(advisor.load(made).predict(photos).decided) == {rare}
    assert advisor.evaluate(made, tmp_path / "data").learned


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """56 of 70 against 48 of 80, as in the paper's table II (method 10)."""
    low, high = evaluation.difference(56 / 70, intervals.wilson(56, 70), 48 / 80, intervals.wilson(48, 80))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_one_image_is_written_as_one(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One photo: singular, no interval that ends at infinity, and no claim that the model is bad."""
    photo = next((run.parent / "data" / "roof").glob("*.jpg"))
    (tmp_path / "roof").mkdir()
    shutil.copy(photo, tmp_path / "roof")
    (tmp_path / "boat").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(
        tmp_path / "boat" / "a.png"
    )
    assert cli.run(["evaluate", str(run), str(tmp_path), "--quiet"]) == 0
    shown = capsys.readouterr()
    assert "of 1 image is right" in shown.out
    assert "these images do not show that the model is better than that" in shown.out
    assert not re.search(r"\b(inf|nan)\b", shown.out)
    assert "1 image of classes that the model does not know is not scored: boat (1)" in shown.err
