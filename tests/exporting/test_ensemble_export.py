"""Ensembles: an export of every format and a server with either engine answer as `predict --ensemble` does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import runs
from PIL import Image

import advisor
from advisor import cli, registry
from advisor.exporting.formats import registry as formats
from advisor.models import ensemble_predictor
from advisor.serving import engines


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an ensemble of two heads and an index, and 24 photos beside it."""
    run = runs.make(tmp_path_factory.mktemp("ensemble"), "pocket")
    runs.add_ensemble(run, sorted((run.parent / "data").rglob("*.jpg")), with_index=True)
    return run


def needs(form: str) -> None:
    """Skip where the format's extra is not installed."""
    for name in formats.by_name()[form].PACKAGES:
        pytest.importorskip(name)


@pytest.mark.parametrize("form", list(formats.by_name()))
def test_an_export_answers_as_the_ensemble_and_tells_what_is_unlike(run: Path, form: str, tmp_path: Path) -> None:
    """One file has the mean of the probabilities, and the features and the index of the first member."""
    needs(form)
    to = tmp_path / form
    assert cli.run(["export", str(run), "--ensemble", "--format", form, "--out", str(to), "--quiet"]) == 0
    model = ensemble_predictor.load(run / "ensemble", registry.load())
    photo, grey = run.parent / "data" / "roof" / "001.jpg", tmp_path / "grey.png"
    Image.new("RGB", (64, 64), (128, 128, 128)).save(grey)
    want = model.predict([photo, grey], abstain=0.05)
    assert want.labels[1] == "unknown" != want.labels[0]
    for path, label, decided in zip((photo, grey), want.labels, want.decided, strict=True):
        ran = subprocess.run([sys.executable, "example.py", path], cwd=to, capture_output=True, text=True, check=True)
        assert decided in ran.stdout
        if form != "safetensors":
            assert ("unlike the training images" in ran.stdout) == (label == "unknown")
    if form == "safetensors":
        assert advisor.load(to).predict([photo, grey], abstain=0.05).labels == want.labels
    else:
        assert json.loads((to / "model.json").read_text(encoding="utf-8"))["unlike"]["file"] == "unlike.npz"


def test_both_engines_of_the_server_say_the_same(run: Path) -> None:
    """Probabilities, and how unlike an image is: without it `serve --abstain` would never answer unknown."""
    needs("onnx")
    model = ensemble_predictor.load(run / "ensemble", registry.load())
    squares = np.random.default_rng(0).integers(0, 256, (3, model.size_px, model.size_px, 3), dtype=np.uint8)
    first, second = engines.in_torch(model)(squares), engines.in_onnxruntime(model, 1)(squares)
    np.testing.assert_allclose(second.probabilities, first.probabilities, atol=1e-5)
    assert first.unlike is not None
    assert second.unlike is not None
    np.testing.assert_allclose(second.unlike, first.unlike, atol=0.3)


def test_an_export_finds_the_images_of_an_archive(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's data may be a ZIP, at their place or at the one that --data names."""
    copied = shutil.copytree(run, tmp_path / "run")
    packed = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", run.parent / "data"))
    recipe = copied / "recipe.yaml"
    recipe.write_text(
        recipe.read_text(encoding="utf-8").replace(str(run.parent / "data"), str(packed)), encoding="utf-8"
    )
    assert str(packed) in recipe.read_text(encoding="utf-8")
    assert cli.run(["export", str(copied), "--out", str(tmp_path / "one"), "--quiet"]) == 0, capsys.readouterr().err
    packed = packed.rename(tmp_path / "moved.zip")
    call = ["export", str(copied), "--out", str(tmp_path / "two"), "--quiet"]
    assert cli.run([*call, "--data", str(packed)]) == 0, capsys.readouterr().err
