"""Distillation of a finished run: a run of its own, its gain beside plain training, the same bits again, and wrong calls."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import pytest
from photos import write_crops

import advisor
from advisor import _arguments, cli
from advisor.cli import distill as distill_command
from advisor.errors import AdviseError, DatasetError, InputError, RecipeError
from advisor.metrics import classification
from advisor.records import Result, Settings, recipe_file
from advisor.training import soft_answers
from advisor.workflows.distillation import distilled_run

CALL = Settings(data="", backbones=("pocket",), size_px=32, threads=1, offline=True)
SHORT = ("epochs=1", "views=2", "batch=8")


@dataclass
class Made:
    folder: Path
    result: Result

    @property
    def run(self) -> Path:
        return self.folder / "run"


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run of a head on frozen features, distilled with unlabelled images, some of which the data set has itself."""
    folder = tmp_path_factory.mktemp("distilled")
    data = write_crops(folder / "photos", classes=2, each=20)
    more = write_crops(folder / "more", classes=2, each=6, seed=9)
    shutil.copy(data / "class 0" / "000.jpg", more / "known.jpg")
    (more / "broken.jpg").write_bytes(b"no image")
    advisor.advise(
        data, trials=1, out=folder / "run", backbones=["pocket"], strategies=["ridge"], size=32, threads=1, offline=True
    )
    result = distilled_run.distil(folder / "run", out=folder / "small", settings=CALL, images=more, overrides=SHORT)
    return Made(folder, result)


def test_the_gain_is_paired_on_the_locked_test(made: Made) -> None:
    """Both students are scored on the same images; the stated gains are the differences of their scores there."""
    part = made.result.distillation
    assert part is not None
    assert part.gain is not None
    assert part.log_loss_gain is not None
    assert made.result.test is not None
    assert part.plain.test is not None
    assert part.gain.over_baseline == pytest.approx(made.result.test.accuracy - part.plain.test.accuracy)
    assert part.log_loss_gain.over_baseline == pytest.approx(part.plain.test.log_loss - made.result.test.log_loss)
    assert part.gain.ci95[0] <= part.gain.over_baseline <= part.gain.ci95[1]
    with np.load(made.folder / "small" / "trials" / "test.npz") as saved:
        assert classification.accuracy(saved["logits"][1], saved["labels"]) == part.plain.test.accuracy


def test_both_students_differ_in_the_teacher_alone(made: Made) -> None:
    """Network, input size, settings and number of steps are the same."""
    part, taught = made.result.distillation, made.result.best
    assert part is not None
    assert part.plain.best.backbone == taught.backbone == "pocket"
    assert part.plain.best.strategy == "full"
    own = {"weight", "temperature", "views"}
    plain = dict(part.plain.best.parameters)
    assert {plain.pop("mixup", 0.0), plain.pop("cutmix", 0.0)} == {0.0}
    assert plain == {k: v for k, v in taught.parameters.items() if k not in own}


def test_what_the_data_set_has_is_not_learned_from_again(made: Made) -> None:
    """An image of the data set, a test image above all, and a broken one are left out of the unlabelled images."""
    recipe = recipe_file.read(made.folder / "small")
    assert recipe.teacher is not None
    assert recipe.teacher.unlabelled is not None
    assert recipe.teacher.unlabelled.images == 12
    answers = soft_answers.read(made.folder / "small" / recipe.teacher.file)
    assert answers.log_probabilities.shape == (2, recipe.data.split.pool + 12, 2)


def test_it_is_a_run_as_any_other(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    """`show`, `predict` and the report work on it, and state what the teacher brought."""
    small = str(made.folder / "small")
    assert cli.run(["show", small]) == 0
    assert "without a teacher" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["predict", small, str(made.folder / "more" / "class 0"), "--json"]) == 0
    page = (made.folder / "small" / "report.html").read_text(encoding="utf-8")
    assert "What the teacher brought" in page
    assert json.loads((made.folder / "small" / "result.json").read_text())["distillation"]["unlabelled"] == 12


def test_a_rerun_needs_no_teacher_and_gets_the_same_bits(made: Made, tmp_path: Path) -> None:
    """The answers lie beside the recipe: without the teacher's run the weights are the same, and the new run carries them."""
    away = made.folder / "elsewhere"
    made.run.rename(away)
    try:
        again = advisor.rerun(made.folder / "small", out=tmp_path / "again", offline=True)
    finally:
        away.rename(made.run)
    assert again.identical
    assert again.runs[0].accuracy == again.expected
    assert recipe_file.read(tmp_path / "again").teacher == recipe_file.read(made.folder / "small").teacher
    assert (tmp_path / "again" / "teacher.npz").is_file()


def _without_model(run: Path) -> None:
    (run / "model.json").unlink()


def _with_other_classes(run: Path) -> None:
    model = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**model, "classes": ["cat", "class 1"]}))


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (shutil.rmtree, AdviseError, "recipe"),
        (_without_model, InputError, "model"),
        (_with_other_classes, InputError, "classes of its model .* differ in cat, class 0"),
    ],
)
def test_a_run_that_cannot_teach_is_one_line(
    made: Made, tmp_path: Path, damage: Callable[[Path], None], error: type[AdviseError], words: str
) -> None:
    """A missing run, a run without a model, and other classes are named before anything is written."""
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    damage(run)
    with pytest.raises(error, match=words):
        distilled_run.distil(run, out=tmp_path / "out", settings=CALL)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_is_wrong_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line, as for every mistake of a call."""
    assert cli.run(["distill", str(tmp_path / "gone"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unlabelled_images_must_be_there_and_be_new(made: Made, tmp_path: Path) -> None:
    """A missing folder, an empty one, and the data set itself are errors that name the option."""
    (tmp_path / "empty").mkdir()
    for images in (tmp_path / "gone", tmp_path / "empty", made.folder / "photos"):
        with pytest.raises(AdviseError, match=r"--unlabelled|no image") as caught:
            distilled_run.distil(made.run, out=tmp_path / "out", settings=CALL, images=images)
        assert isinstance(caught.value, DatasetError | InputError)


def test_other_data_are_refused(made: Made, tmp_path: Path) -> None:
    """A teacher may have seen the test images of another cut, and a recipe's answers belong to its own images."""
    other = write_crops(tmp_path / "photos", classes=2, each=10, seed=3)
    with pytest.raises(RecipeError, match="may have seen test images"):
        distilled_run.distil(made.run, out=tmp_path / "out", settings=CALL, data=other)
    with pytest.raises(RecipeError, match="cannot be applied to others"):
        advisor.rerun(made.folder / "small", data=other, offline=True)


def test_answers_that_are_not_the_recipes_are_refused(made: Made, tmp_path: Path) -> None:
    """A missing file of answers and a changed one are errors of the recipe's field."""
    small = tmp_path / "small"
    shutil.copytree(made.folder / "small", small)
    answers = soft_answers.read(small / "teacher.npz")
    soft_answers.write(small / "teacher.npz", replace(answers, log_probabilities=answers.log_probabilities * 2))
    for field in ("teacher.file_sha256", "teacher.file:"):
        with pytest.raises(RecipeError, match=field):
            advisor.rerun(small, data=made.folder / "photos", offline=True)
        (small / "teacher.npz").unlink(missing_ok=True)


def test_the_python_function_does_what_the_command_does(made: Made, tmp_path: Path) -> None:
    """The same seed gives the same student and gain, with progress on the way; the folder is a run."""
    heard: list[str] = []
    result = advisor.distill(
        made.run,
        unlabelled=made.folder / "more",
        out=tmp_path / "small",
        parameters={"epochs": 1, "views": 2, "batch": 8},
        progress=lambda what, done, total: heard.append(what),
        backbone="pocket",
        size=32,
        threads=1,
        offline=True,
    )
    assert result.distillation is not None
    assert made.result.distillation is not None
    assert result.distillation.gain == made.result.distillation.gain
    outcomes = [recipe_file.read(folder / "small").outcome for folder in (tmp_path, made.folder)]
    assert len({outcome.weights_sha256 for outcome in outcomes if outcome}) == 1
    assert all(outcomes)
    assert any("asking the teacher" in what for what in heard)
    assert advisor.load_result(tmp_path / "small").distillation == result.distillation
    assert len(advisor.load(tmp_path / "small").predict(made.folder / "photos").labels) == 40


def test_the_python_function_has_every_option_of_the_command() -> None:
    """Those of the terminal apart, and under the names of the other functions; an unknown one is one line."""
    renamed = {"size_px": "size", "blocked": "block", "overrides": "parameters"}
    options = {str(p.name) for p in distill_command.command.params if isinstance(p, click.Option) and p.expose_value}
    arguments = {*inspect.signature(advisor.distill).parameters, *_arguments.SESSION, "block"}
    assert {renamed.get(name, name) for name in options - {"as_json", "quiet"}} <= arguments
    with pytest.raises(InputError, match="no option 'colour'"):
        advisor.distill("run", colour="red")
