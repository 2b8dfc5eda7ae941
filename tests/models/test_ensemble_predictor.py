"""advisor.models.ensemble_predictor: several models answer as one, in `predict` and in every export."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import runs
import torch

import advisor
from advisor import cli, registry
from advisor.data import pixels
from advisor.errors import InputError
from advisor.models import ensemble_predictor, model_files, predictor


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose ensemble has two heads on one network and a third on another."""
    base = tmp_path_factory.mktemp("averaged")
    run = runs.make(base, "squeezenet1_1")
    folders = []
    for number, (name, options) in enumerate(
        [("squeezenet1_1", {}), ("squeezenet1_1", {"head": "knn"}), ("shufflenet_v2_x1_0", {})]
    ):
        folder = base / f"member-{number}"
        folder.mkdir()
        runs.write_model(folder, name, sorted((base / "data").rglob("*.jpg")), **options)  # type: ignore[arg-type]
        folders.append(folder)
    (run / model_files.ENSEMBLE_FOLDER).mkdir()
    model_files.write_ensemble(run / model_files.ENSEMBLE_FOLDER, folders, {"trials": [0, 1, 2]})
    return run


def photos(run: Path) -> list[Path]:
    return sorted((run.parent / "data").rglob("*.jpg"))


def test_the_answer_is_the_mean_of_the_members(run: Path) -> None:
    """Probabilities are averaged, not logits; heads on the same network hold one copy of it."""
    plugins = registry.load()
    together = ensemble_predictor.load(run / "ensemble", plugins)
    single = [predictor.load(run.parent / f"member-{n}", plugins).predict(photos(run)).probabilities for n in range(3)]
    predictions = together.predict(photos(run))
    np.testing.assert_allclose(predictions.probabilities, np.mean(single, axis=0), atol=1e-6)
    assert predictions.classes == runs.CLASSES
    bodies = [m.classifier.body for m in together.members]
    assert bodies[0] is bodies[1]
    assert bodies[0] is not bodies[2]


def test_predict_asks_the_ensemble(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--ensemble answers with the mean; a run without one says so in a line, with exit code 2."""
    assert cli.run(["predict", str(run), str(photos(run)[0]), "--ensemble", "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"][0]
    want = ensemble_predictor.load(run / "ensemble", registry.load()).predict([photos(run)[0]])
    assert printed["probability"] == pytest.approx(want.probabilities.max(), abs=1e-9)
    bare = run.parent / "bare"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns("ensemble"))
    assert cli.run(["predict", str(bare), str(photos(run)[0]), "--ensemble"]) == 2
    assert "holds no ensemble" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["torch", "onnx", "safetensors"])
def test_every_format_carries_the_ensemble(run: Path, form: str, tmp_path: Path) -> None:
    """One graph averages the probabilities (parity is checked on export), and its example says what predict says."""
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="pip install 'tl-advise[onnx]'")
        pytest.importorskip("onnxscript", reason="pip install 'tl-advise[onnx]'")
    to = tmp_path / form
    call = ["export", str(run), "--ensemble", "--format", form, "--to", str(to), "--data", str(run.parent / "data")]
    assert cli.run([*call, "--quiet"]) == 0
    photo = photos(run)[0]
    ran = subprocess.run([sys.executable, "example.py", photo], cwd=to, capture_output=True, text=True, check=True)
    want = ensemble_predictor.load(run / "ensemble", registry.load()).predict([photo])
    assert want.labels[0] in ran.stdout
    assert f"{want.probabilities.max():.4f}"[:5] in ran.stdout
    if form == "safetensors":
        again = advisor.load(to).predict(photos(run))
        both = ensemble_predictor.load(run / "ensemble", registry.load()).predict(photos(run))
        np.testing.assert_array_equal(again.probabilities, both.probabilities)
    else:
        described = json.loads((to / "model.json").read_text(encoding="utf-8"))
        assert len(described["inside"]["mean_of"]) == 3
        assert described["backbone"] == "squeezenet1_1 + squeezenet1_1 + shufflenet_v2_x1_0"


def test_a_network_of_another_size_resizes_the_squares_of_the_first(run: Path, tmp_path: Path) -> None:
    """An ensemble decodes an image once: a member that was trained at 40 px sees the 64 px of the first one, resized."""
    small = tmp_path / "small"
    small.mkdir()
    runs.write_model(small, "shufflenet_v2_x1_0", photos(run), size_px=40)
    model_files.write_ensemble(tmp_path, [run.parent / "member-0", small], {})
    plugins = registry.load()
    first, second = ensemble_predictor.load(tmp_path, plugins).members
    assert (second.rule, second.size_px) == (first.rule, 64)
    squares = np.stack([pixels.decode(path, first.rule) for path in photos(run)])
    own = predictor.load(small, plugins)
    images = torch.from_numpy(pixels.centre(squares, 64).copy()).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (own.preprocess.mean, own.preprocess.std))
    resized = torch.nn.functional.interpolate((images - mean) / std, size=40, mode="bilinear", antialias=True)
    with torch.no_grad():
        want = torch.softmax(own.classifier(resized) / own.temperature, dim=1).numpy()
    np.testing.assert_allclose(second.probabilities(squares), want, atol=1e-5)


def test_members_that_see_other_pixels_are_refused(run: Path, tmp_path: Path) -> None:
    """An ensemble decodes an image once: a file that asks for other squares does not belong to it."""
    model_files.write_ensemble(tmp_path, [run.parent / "member-0", run.parent / "member-1"], {})
    description = json.loads((tmp_path / "model-1.json").read_text(encoding="utf-8"))
    description["preprocess"]["resize_px"] += 1
    (tmp_path / "model-1.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(InputError, match="differ in classes or preprocessing"):
        ensemble_predictor.load(tmp_path, registry.load())


def test_a_decision_rule_for_other_classes_is_refused(run: Path, tmp_path: Path) -> None:
    """A rule without a number for every class is one line that names the file."""
    model_files.write_ensemble(tmp_path, [run.parent / "member-0"], {"decision": {"weights": [1.0]}})
    with pytest.raises(InputError, match=r"ensemble.json: decision.weights: expected \d+ finite numbers"):
        ensemble_predictor.load(tmp_path, registry.load())
