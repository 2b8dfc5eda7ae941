"""INT8 exports: smaller, compared on the same locked images, kept only where the loss is tolerated."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import runs

from advisor import cli, registry
from advisor.errors import InputError
from advisor.exporting import int8_export, quantisation

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason="pip install 'tl-advise[onnx]'")


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the smallest network, and 24 photos beside it."""
    return runs.make(tmp_path_factory.mktemp("int8"), "pocket")


@pytest.fixture(scope="module", name="exported")
def _exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its INT8 export, made through the command line; any loss is accepted."""
    to = tmp_path_factory.mktemp("made") / "int8"
    assert cli.run(["export", str(run), "--int8", "--tolerate", "100", "--out", str(to), "--quiet"]) == 0
    return to


def test_the_graph_computes_in_8_bits_and_is_smaller(exported: Path) -> None:
    """Convolutions have weights of 8 bits; the softmax and what comes before the first convolution stay in float32."""
    import onnx

    graph = onnx.load(exported / "model.onnx").graph
    names = [node.op_type for node in graph.node]
    assert {"QuantizeLinear", "DequantizeLinear"} <= set(names)
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in graph.initializer)
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    assert not [n for n in graph.node if n.op_type == "QuantizeLinear" and softmax.output[0] in n.input]
    report = json.loads((exported / "model.json").read_text())["int8"]
    assert report["mb_after"] < 0.6 * report["mb_before"]
    assert sorted(p.name for p in exported.iterdir()) == ["README.md", "example.py", "model.json", "model.onnx"]


def test_the_report_is_of_the_locked_test(exported: Path) -> None:
    """Scores are those of the 6 test images, the change is their difference, its interval holds it."""
    report = json.loads((exported / "model.json").read_text())["int8"]
    assert (report["scored_on"], report["n"]) == ("test", 6)
    assert report["change"] == pytest.approx(report["accuracy_after"] - report["accuracy_before"])
    assert report["ci95"][0] <= report["change"] <= report["ci95"][1]
    assert report["setting"] in report["divergences"]
    assert min(report["divergences"].values()) == report["divergences"][report["setting"]]


def test_the_example_runs(exported: Path, run: Path) -> None:
    """The ten lines classify a photo with the INT8 graph."""
    photo = run.parent / "data" / "roof" / "001.jpg"
    done = subprocess.run(
        [sys.executable, "example.py", photo], cwd=exported, capture_output=True, text=True, check=True
    )
    assert any(name in done.stdout for name in runs.CLASSES)


def test_the_example_runs_where_the_run_has_an_index(run: Path, tmp_path: Path) -> None:
    """An INT8 graph returns no features, so its example says nothing of images unlike the training images."""
    indexed = shutil.copytree(run, tmp_path / "run")
    runs.add_index(indexed, sorted((run.parent / "data").rglob("*.jpg")))
    to = tmp_path / "int8"
    assert cli.run(["export", str(indexed), "--int8", "--tolerate", "100", "--out", str(to), "--quiet"]) == 0
    example = [sys.executable, "example.py", run.parent / "data" / "roof" / "001.jpg"]
    done = subprocess.run(example, cwd=to, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in runs.CLASSES)
    assert "unlike" not in json.loads((to / "model.json").read_text(encoding="utf-8"))


def test_a_loss_beyond_what_is_tolerated_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ranges calibrated on black squares the answers change: exit code 3, the numbers (also as JSON), nothing left."""
    real = quantisation.quantise

    def wrong(prepared: Path, target: Path, setting: quantisation.Setting, images: np.ndarray) -> None:
        real(prepared, target, setting, np.zeros_like(images))

    monkeypatch.setattr(quantisation, "quantise", wrong)
    monkeypatch.setattr(quantisation, "SETTINGS", quantisation.SETTINGS[:1])
    monkeypatch.setattr(int8_export.Int8Report, "holds", False)
    assert cli.run(["export", str(run), "--int8", "--out", str(tmp_path / "out"), "--json"]) == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["path"], document["files"]) == ("", [])
    assert document["int8"]["scored_on"] == "test"
    assert document["parity"]["n"] > 0
    assert "locked test images" in printed.err
    assert "--tolerate" in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "ci95", "tolerated", "holds"),
    [
        (-0.05, (-0.10, 0.01), None, True),  # within noise
        (-0.005, (-0.009, -0.001), None, True),  # below one point
        (-0.02, (-0.03, -0.01), None, False),
        (-0.05, (-1.0, 1.0), None, False),  # too few images to call it noise
        (0.0, (-1.0, 1.0), None, True),
        (-0.02, (-0.03, -0.01), 0.02, True),
        (-0.005, (-0.02, 0.02), 0.0, False),  # a stated tolerance leaves noise no room
        (0.01, (0.001, 0.02), 0.0, True),
    ],
)
def test_what_is_tolerated(change: float, ci95: tuple[float, float], tolerated: float | None, holds: bool) -> None:
    """By default a loss within noise or below one point is kept; `--tolerate` alone decides where it is given."""
    report = int8_export.Int8Report(
        setting="", divergences={}, calibration_images=1, scored_on="test", n=100, accuracy_before=0.9,
        accuracy_after=0.9 + change, change=change, ci95=ci95, changed=0.1, objective="log_loss", objective_before=None,
        objective_after=None, mb_before=1.0, mb_after=0.3, ms_before=1.0, ms_after=0.5, tolerated=tolerated,
    )  # fmt: skip
    assert report.holds is holds
    assert replace(report, tolerated=report.accepted_by / 100).holds
    assert ("too few of them" in report.sentence) == (ci95 == (-1.0, 1.0))


def test_divergence_is_that_of_scipy() -> None:
    """The mean KL divergence, as scipy computes it."""
    from scipy.stats import entropy

    draw = np.random.default_rng(0)
    p, q = draw.dirichlet(np.ones(5), 7), draw.dirichlet(np.ones(5), 7)
    assert int8_export.divergence(p, q) == pytest.approx(np.mean([entropy(a, b) for a, b in zip(p, q, strict=True)]))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--int8", "--format", "torch"], "--int8 writes ONNX, not torch"),
        (["--int8", "--ensemble"], "--int8 quantises a single model"),
        (["--tolerate", "1"], "--tolerate belongs to --int8"),
    ],
)
def test_options_that_exclude_each_other(
    run: Path, options: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and exit code 2."""
    assert cli.run(["export", str(run), *options]) == 2
    assert line in capsys.readouterr().err


def test_without_training_images_nothing_can_be_calibrated(run: Path, tmp_path: Path) -> None:
    """Images that are gone are one line with the remedy."""
    with pytest.raises(InputError, match="--data DIR"):
        int8_export.export(run, registry=registry.load(), to=tmp_path / "o", data=tmp_path)
