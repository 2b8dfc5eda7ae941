"""Exports: each agrees with `predict` on real photos, its example runs, and nothing is left where it does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import runs
import torch
from PIL import Image

from advisor import cli, registry
from advisor.errors import CheckError, InputError, OutputError, RecipeError
from advisor.exporting import parity, run_export, sidecar
from advisor.exporting.formats import registry as formats
from advisor.models import predictor

ALL = bool(os.environ.get("TL_ADVISE_SLOW"))
QUICK = ("pocket",)
SIZES = {"vit_b_16": 224, "inception_v3": 96}


def needs(form: str) -> None:
    """Skip where the format's extra is not installed."""
    chosen = formats.by_name()[form]
    for name in chosen.PACKAGES:
        pytest.importorskip(name, reason=f"pip install 'tl-advise[{chosen.EXTRA}]'")


@pytest.fixture(scope="module", name="exports")
def _exports(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of exports by format, each made when it is first asked for."""
    return Exports(run, tmp_path_factory.mktemp("exports"))


class Exports(dict[str, Path]):
    """Exports each format once, through the command line."""

    def __init__(self, run: Path, base: Path) -> None:
        super().__init__()
        self.run, self.base = run, base

    def __missing__(self, form: str) -> Path:
        needs(form)
        self[form] = self.base / form
        assert cli.run(["export", str(self.run), "--format", form, "--to", str(self[form]), "--quiet"]) == 0
        return self[form]


@pytest.mark.parametrize("form", list(formats.by_name()))
def test_the_folder_is_whole_and_its_example_runs(run: Path, form: str, exports: dict[str, Path]) -> None:
    """The folder holds model, description, example and card; the program alone says what predict says."""
    to = exports[form]
    files = sorted(path.name for path in to.iterdir())
    beside = ["model.bin"] if form == "openvino" else []
    assert files == sorted(["README.md", "example.py", "model.json", formats.find(form).FILE, *beside])
    described = json.loads((to / "model.json").read_text(encoding="utf-8"))
    assert described["classes"] == list(runs.CLASSES)
    assert described["input"]["shape"] == ["batch", 64, 64, 3]
    assert (to / "README.md").read_text(encoding="utf-8").startswith("---\n")
    example = (to / "example.py").read_text(encoding="utf-8")
    assert len(example.splitlines()) <= 25
    photo = run.parent / "data" / "roof" / "001.jpg"
    ran = subprocess.run([sys.executable, "example.py", photo], cwd=to, capture_output=True, text=True, check=True)
    want = predictor.load(run, registry.load()).predict([photo])
    assert want.labels[0] in ran.stdout
    assert f"{want.probabilities.max():.4f}"[:5] in ran.stdout


def test_the_graph_takes_any_batch_and_carries_its_classes(exports: dict[str, Path]) -> None:
    """One image or five: the same answer for each; class names are inside the file."""
    inside = {"model.json": ""}
    module = torch.export.load(exports["torch"] / "model.pt2", extra_files=inside).module()
    assert json.loads(inside["model.json"])["classes"] == list(runs.CLASSES)
    images = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    together, features = module(images)
    alone = torch.cat([module(image[None])[0] for image in images])
    assert torch.allclose(together, alone, atol=1e-6)
    assert features.shape == (5, 512)
    assert torch.allclose(together.sum(dim=1), torch.ones(5))


def test_onnx_has_a_dynamic_batch_and_carries_its_classes(exports: dict[str, Path]) -> None:
    """One image or five in onnxruntime, uint8 in, float32 out, class names in the file's properties."""
    needs("onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(exports["onnx"] / "model.onnx")
    [entry] = session.get_inputs()
    assert (entry.name, entry.type, entry.shape[1:]) == (sidecar.INPUT, "tensor(uint8)", [64, 64, 3])
    assert isinstance(entry.shape[0], str)
    images = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    together = session.run(None, {entry.name: images})[0]
    alone = np.concatenate([session.run(None, {entry.name: image[None]})[0] for image in images])
    assert np.allclose(together, alone, atol=1e-5)
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["classes"]) == list(runs.CLASSES)


def test_the_answer_tells_the_comparison(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, the answer holds how many images were compared, the agreement, and the worst difference."""
    to = tmp_path / "out"
    assert cli.run(["export", str(run), "--format", "safetensors", "--to", str(to), "--json"]) == 0
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    worst = printed["parity"].pop("worst")  # single images and batches differ in their last bits
    assert printed["parity"] == {"n": 24, "agreement": 1.0, "tolerance": 1e-4, "features": None}
    assert worst < 1e-5
    assert printed["bytes"] == sum(path.stat().st_size for path in to.iterdir())
    assert "comparing with predict" in shown.err


def test_a_difference_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    """Where the comparison does not hold, the place is empty and the error carries exit code 3."""
    with pytest.raises(CheckError) as caught:
        run_export.export(run, "safetensors", registry=registry.load(), to=tmp_path / "out", tolerance=-1.0)
    assert caught.value.exit_code == 3
    assert "does not agree with predict" in caught.value.what
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["onnx", "openvino", "torch"])
def test_a_graph_tells_unlike_images_without_this_project(run: Path, form: str, tmp_path: Path) -> None:
    """With an index, features, unlike.npz and model.json give what `predict` does; the example prints it."""
    needs(form)
    indexed = tmp_path / "run"
    shutil.copytree(run, indexed)
    shutil.copytree(run.parent / "data", tmp_path / "data")
    runs.add_index(indexed, sorted((tmp_path / "data").rglob("*.jpg")))
    done = run_export.export(indexed, form, registry=registry.load(), to=tmp_path / "out", data=tmp_path / "data")
    assert done.parity.features is not None
    assert done.parity.features < 1e-4
    assert "unlike.npz" in done.files
    described = json.loads((tmp_path / "out" / "model.json").read_text(encoding="utf-8"))
    assert described["output"]["name"] == "probabilities"
    assert described["features"] == {"name": "features", "dtype": "float32", "shape": ["batch", 512]}
    odd = [tmp_path / f"{shade}.png" for shade in (0, 255)]
    for path in odd:
        Image.new("RGB", (80, 80), (int(path.stem), 0, 0)).save(path)
    photos = [*sorted((tmp_path / "data").rglob("*.jpg"))[::4], *odd]
    model = predictor.load(indexed, registry.load())
    want = model.predict(photos).unlike
    assert want is not None
    squares, _ = parity.squares(model, photos)
    _, features = formats.find(form).load(tmp_path / "out", registry.load())(squares)
    assert features is not None
    index, unlike = np.load(tmp_path / "out" / "unlike.npz"), described["unlike"]
    bank = index["bank"].astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = np.sort(unit @ (bank / np.linalg.norm(bank, axis=1, keepdims=True)).T, axis=1)
    similar = similar[:, -unlike["neighbours"] :].mean(axis=1)
    share = (1 + (index["known"] <= similar[:, None]).sum(axis=1)) / (1 + unlike["known"])
    assert np.abs(share - want).max() <= 1.5 / (1 + unlike["known"])
    assert ((share <= unlike["rate"]) == (similar < unlike["threshold"])).all()
    is_unlike = dict(zip(photos, similar < unlike["threshold"], strict=True))
    assert not all(is_unlike.values())
    assert any(is_unlike[path] for path in odd)
    example = [sys.executable, "example.py"]
    for photo in (min(photos, key=is_unlike.__getitem__), max(photos, key=is_unlike.__getitem__)):
        ran = subprocess.run([*example, photo], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[-1] == f"{'unlike' if is_unlike[photo] else 'like'} the training images"


def test_bad_calls_are_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown format, a place that exists, a run that is none: exit 2, one line, nothing written."""
    (tmp_path / "there").mkdir()
    calls = [
        ([str(run), "--format", "tflite"], "error: --format tflite: there is no such format. Choose one of torch"),
        ([str(run), "--to", str(tmp_path / "there")], "exists already. Choose another --out"),
        ([str(tmp_path)], "holds no model.json"),
    ]
    for arguments, line in calls:
        assert cli.run(["export", *arguments]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        [written] = shown.err.splitlines()
        assert line in written
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_place_that_cannot_be_written_is_one_line(run: Path, tmp_path: Path) -> None:
    """A file where a folder must be is an output error, and nothing is left."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        run_export.export(run, "safetensors", registry=registry.load(), to=tmp_path / "file" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


FULL = """
import resource, signal, sys
from advisor import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sys.exit(cli.run(["export", *sys.argv[1:]]))
"""


def test_a_write_that_fails_half_way_is_one_line_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    """A file that cannot grow beyond 200 kB, as on a full disk: exit 2, one line, no half-written folder."""
    call = [sys.executable, "-c", FULL, str(run), "--to", str(tmp_path / "out"), "--quiet"]
    ran = subprocess.run(call, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'out'} cannot be written")
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the onnx packages the command that installs them is said."""
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tl-advise\[onnx\]'"):
        formats.find("onnx")


def test_a_run_without_a_recipe_says_so(run: Path, tmp_path: Path) -> None:
    """Where the images were stands in the recipe; without one, the line names it."""
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "recipe.yaml").unlink()
    with pytest.raises(RecipeError, match="no such recipe"):
        run_export.export(tmp_path / "run", "torch", registry=registry.load())


@pytest.mark.parametrize(("layers", "head"), [("all", "linear"), ("last", "knn")])
def test_every_head_can_be_exported(layers: str, head: str, tmp_path: Path) -> None:
    """Heads on all stages and neighbours go into the graph like a linear head on the last stage."""
    run = runs.make(tmp_path, "squeezenet1_1", layers=layers, head=head)
    done = run_export.export(run, "torch", registry=registry.load())
    assert done.parity.holds
    assert Path(done.path) == run / "export-torch"


def backbones() -> list[str]:
    """All first-party backbones, or the built-in one alone where TL_ADVISE_SLOW is not set (all take ten minutes)."""
    ours = registry.load(select=["torchvision", "pocket"]).backbones
    return sorted(ours) if ALL else [name for name in QUICK if name in ours]


@pytest.mark.parametrize("form", ["torch", "onnx"])
@pytest.mark.parametrize("name", backbones())
def test_every_backbone_can_be_exported(name: str, form: str, tmp_path: Path) -> None:
    """Each first-party architecture with random weights agrees with predict (all of them with TL_ADVISE_SLOW=1)."""
    needs(form)
    run = runs.make(tmp_path, name, size_px=SIZES.get(name, 64))
    done = run_export.export(run, form, registry=registry.load())
    assert done.parity.holds
    assert done.parity.n == 24
