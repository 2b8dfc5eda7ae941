"""ONNX Runtime behind the server answers as `predict` does, and says what it needs where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import runs

pytest.importorskip("fastapi", reason="the serve extra is not installed")

from fastapi.testclient import TestClient

from advisor import cli, registry
from advisor.models import predictor as predictors
from advisor.serving import app, engines


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small network, and photos beside it."""
    return runs.make(tmp_path_factory.mktemp("engines"), "pocket")


def test_onnxruntime_answers_over_http_what_predict_answers(run: Path) -> None:
    """Single images and a batch; the differences are those of float32."""
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    predictor = predictors.load(run, registry.load())
    photos = sorted((run.parent / "data").rglob("*.jpg"))[:9]
    expected = predictor.predict(photos)
    computed = engines.in_onnxruntime(predictor, 1)
    with TestClient(app.create(predictor, run, engine=computed)) as client:
        files = [("images", (photo.name, photo.read_bytes(), "image/jpeg")) for photo in photos]
        rows = client.post("/predict", files=files).json()["predictions"]
        alone = client.post("/predict", content=photos[0].read_bytes()).json()["predictions"]
    for row, shares in zip([*rows, *alone], [*expected.probabilities, expected.probabilities[0]], strict=True):
        shown = {one["class"]: one["probability"] for one in row["top"]}
        assert shown == pytest.approx(dict(zip(expected.classes, shares, strict=True)), abs=1e-5)
    if expected.unlike is not None:
        assert np.allclose([row["unlike"] for row in rows], expected.unlike, atol=0.02)


def test_squares_larger_than_the_input_are_cropped_to_their_centre(run: Path) -> None:
    """Photos are decoded to the squares that training cropped its views from, 256 px for a network of 224."""
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    predictor = predictors.load(run, registry.load())
    side = predictor.size_px + 32
    squares = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    first, second = engines.in_torch(predictor)(squares), engines.in_onnxruntime(predictor, 1)(squares)
    np.testing.assert_allclose(second.probabilities, first.probabilities, atol=1e-5)


def test_a_device_that_is_not_there_or_not_for_the_engine_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 before the model is loaded."""
    assert cli.run(["serve", str(run), "--port", "0", "--device", "cuda:99"]) == 2
    assert "--device cuda:99: " in capsys.readouterr().err
    assert cli.run(["serve", str(run), "--port", "0", "--device", "cuda", "--engine", "onnxruntime"]) == 2
    assert "--engine onnxruntime computes on the CPU, not on cuda." in capsys.readouterr().err


def test_missing_packages_are_named_with_the_command(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, before the server starts."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.run(["serve", str(run), "--port", "0", "--engine", "onnxruntime"]) == 2
    assert "pip install 'tl-advise[onnx]'" in capsys.readouterr().err
