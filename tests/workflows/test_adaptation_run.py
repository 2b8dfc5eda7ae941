"""An adapted run as other commands meet it: exported, shown, not resumed; options that it would not heed are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import commands
import pytest
import yaml
from photos import write_crops
from PIL import Image, ImageOps

import advisor
from advisor.errors import InputError

FAST = ("--backbone", "pocket", "--size", "32", "--threads", "1", "--offline", "--quiet")


@pytest.fixture(scope="module", name="adapted")
def _adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one arm and one seed; its source and target lie beside it."""
    base = tmp_path_factory.mktemp("adapted")
    source = write_crops(base / "source", each=10, side_px=32)
    target = write_crops(base / "target", each=8, side_px=32, seed=1)
    for path in target.rglob("*.jpg"):
        ImageOps.invert(Image.open(path)).save(path)
    call = ("--target", str(target), "--strategy", "full", "--trials", "1", "--out", str(base / "run"))
    commands.run("advise", str(source), *call, *FAST)
    return base / "run"


def test_an_adapted_run_is_exported_with_its_card(
    adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export is compared on the source's images, where they are now too; the card has a head, scores and no test claim."""
    commands.run("export", str(adapted), "--format", "torch", "--out", str(tmp_path / "exported"))
    card = (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")
    assert "domain-adaptation" in yaml.safe_load(card.split("---\n")[1])["tags"]
    assert "accuracy on the labelled part of the target, 24 images" in card
    moved = shutil.copytree(adapted.parent / "source", tmp_path / "moved")
    call = ("--data", str(moved), "--out", str(tmp_path / "again"))
    monkeypatch.chdir(tmp_path)
    recipe = adapted / "recipe.yaml"
    relative = recipe.read_text(encoding="utf-8").replace(str(adapted.parent / "source"), "source")
    other = shutil.copytree(adapted, adapted.parent / "runs" / "other")
    (other / "recipe.yaml").write_text(relative, encoding="utf-8")  # as of a call in that folder
    commands.run("export", str(other), "--format", "torch", "--out", str(tmp_path / "from elsewhere"))
    assert "on 30 images" in commands.run("export", str(adapted), "--format", "torch", *call).stdout


def test_show_says_what_an_adapted_run_is(adapted: Path, tmp_path: Path) -> None:
    """It points to adaptation.json and never to `resume`; one that did not end is to be started again."""
    shown = commands.run("show", str(adapted), code=2).stderr
    assert "adapted run" in shown
    assert "adaptation.json" in shown
    assert "resume" not in shown
    cut_off = shutil.copytree(adapted, tmp_path / "cut off")
    (cut_off / "adaptation.json").unlink()
    assert "did not end: start it again" in commands.run("show", str(cut_off), code=2).stderr
    assert "cannot be resumed" in commands.run("resume", str(cut_off), code=2).stderr


@pytest.mark.parametrize(
    "option",
    [
        ("--objective", "nonsense"),
        ("--regime", "full"),
        ("--experience", "."),
        ("--remove-leaks",),
        ("--source", "source"),
        ("--workers", "2"),
        ("--ray", "local"),
        ("--storage", "sqlite:///studies.db"),
        ("--gpus", "2"),
        ("--log", "tensorboard"),
        ("--max-ms", "20"),
        ("--relabel", "labels.csv"),
    ],
    ids=lambda option: option[0],
)
def test_what_an_adaptation_would_not_heed_is_refused(
    adapted: Path, option: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the option, before anything is read or written."""
    monkeypatch.chdir(adapted.parent)
    refused = commands.run("advise", "source", "--target", "target", *option, *FAST, code=2).stderr.strip()
    assert refused == f"error: {option[0]} does not work with --target. Remove it."
    assert not Path("tl-advise-runs").exists()


def test_the_python_interface_refuses_the_same(adapted: Path) -> None:
    """Fields of `adapt` are checked like options; what is given as it is by default changes nothing."""
    source, target = adapted.parent / "source", adapted.parent / "target"
    with pytest.raises(InputError, match="--regime, --remove-leaks do not work with --target"):
        advisor.adapt(source, target, regime="full", remove_leaks=True)
    with pytest.raises(InputError, match="one --backbone"):
        advisor.adapt(source, target, log=(), workers=1, objective="log_loss", backbones=("pocket", "mobilenet_v2"))


def test_a_database_in_the_environment_is_no_option(adapted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TL_ADVISE_STORAGE is for searches: an adaptation goes on to its next check."""
    monkeypatch.setenv("TL_ADVISE_STORAGE", "sqlite:///studies.db")
    call = ("--target", str(adapted.parent / "target"), "--backbone", "mobilenet_v2")
    refused = commands.run("advise", str(adapted.parent / "source"), *call, *FAST, code=2).stderr
    assert "one --backbone" in refused


def test_reading_options_reach_the_rerun_of_an_adaptation(adapted: Path, tmp_path: Path) -> None:
    """With other data, `rerun` reads them as asked: without the excluded folder, a class is missing in the message."""
    other = shutil.copytree(adapted.parent / "source", tmp_path / "other")
    shutil.copytree(other / "class 0", other / "unlabeled")
    call = ("--data", str(other), "--target", str(adapted.parent / "target"), "--offline", "--quiet")
    assert "unlabeled" in commands.run("rerun", str(adapted), *call, code=2).stderr
    commands.run("rerun", str(adapted), *call, "--exclude", "unlabeled")


def test_verifying_an_adaptation_on_other_data_is_refused_before_training(adapted: Path, tmp_path: Path) -> None:
    """The sentence names the data, and nothing was trained."""
    other = write_crops(tmp_path / "other", each=10, side_px=32, seed=3)
    call = ("--verify", "--data", str(other), "--out", str(tmp_path / "again"), "--offline", "--quiet")
    assert "--verify needs the recipe's own data" in commands.run("rerun", str(adapted), *call, code=3).stderr
    assert not (tmp_path / "again" / "model.safetensors").exists()


def test_a_rerun_of_an_adaptation_leaves_a_run_that_every_command_takes(adapted: Path, tmp_path: Path) -> None:
    """Its recipe is verified to the same weights, its splits choose the images of an export, and `show` says what it is."""
    again = str(tmp_path / "again")
    commands.run("rerun", str(adapted), "--out", again, "--offline", "--quiet")
    names = {path.name for path in (tmp_path / "again").iterdir()}
    assert {path.name for path in adapted.iterdir()} - names == set()
    assert "identical" in commands.run("rerun", again, "--verify", "--offline", "--quiet").stdout
    commands.run("export", again, "--format", "torch", "--out", str(tmp_path / "exported"))
    assert "see its adaptation.json" in commands.run("show", again, code=2).stderr
    assert f"tl-advise rerun {adapted}" in commands.run("resume", again, code=2).stderr
    numbers = [json.loads((run / "adaptation.json").read_text()) for run in (adapted, tmp_path / "again")]
    assert numbers[1]["target_accuracy"] == numbers[0]["target_accuracy"]
    assert numbers[1]["chosen"] == numbers[0]["chosen"]


def test_an_adaptation_that_is_refused_leaves_no_folder(adapted: Path, tmp_path: Path) -> None:
    """A used --out is refused before the images are read; a missing target removes the folder that was begun."""
    source, call = str(adapted.parent / "source"), ("--out", str(tmp_path / "run"), *FAST)
    commands.run("advise", source, "--target", str(tmp_path / "nowhere"), *call, code=2)
    assert not (tmp_path / "run").exists()


def test_an_adaptation_of_few_images_is_verified(tmp_path: Path) -> None:
    """Two training images a class make fewer than five folds; the recipe holds as many as were drawn, so they come again."""
    source, target = (
        write_crops(tmp_path / "source", each=3, side_px=32),
        write_crops(tmp_path / "target", each=3, seed=1),
    )
    call = ("--target", str(target), "--strategy", "full", "--trials", "1", "--out", str(tmp_path / "run"), *FAST)
    commands.run("advise", str(source), *call)
    assert "\n  folds: 5\n" in (tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8")
    assert "identical" in commands.run("rerun", str(tmp_path / "run"), "--verify", "--offline", "--quiet").stdout
