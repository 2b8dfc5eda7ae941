"""The model file: what is written is what predicts, to the bit, and faults of its files are one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import photographs
import pytest
import small_network as small
import torch
from PIL import Image

from advisor import registry
from advisor.data import pixels
from advisor.errors import InputError, PluginError, WeightsError
from advisor.heads import fitting
from advisor.metrics import classification
from advisor.models import backbone as backbones
from advisor.models import classifier as model
from advisor.models import inference, predictor
from advisor.records import ForwardSpec, Head, Preprocess

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("ants", "bees & more", "ünï", "d")


def _classifier(kind: str = "ridge", layers: str = "last", mirror: bool = False) -> model.Classifier:
    """Build the small network with a head of this kind, fitted on its own features of digits."""
    backbone, body = small.backbone(), backbones.build(small.backbone(), seed=2)
    data = small.digits()
    plain = model.Classifier(backbone, body, torch.nn.Identity(), layers, mirror=mirror)
    values = inference.logits(plain, data.canvas, data.rows, ForwardSpec(backbone.preprocess, 12, small.COMPUTE))
    return model.Classifier(backbone, body, fitting.fit(Head(kind=kind), values, data.labels, 4), layers, mirror=mirror)


def _save(classifier: model.Classifier, folder: Path, fit: str = "crop", temperature: float = 1.0) -> Path:
    predictor.save(
        classifier,
        folder / "model.safetensors",
        folder / "model.json",
        classes=CLASSES,
        preprocess=small.backbone().preprocess,
        size_px=12,
        fit=fit,
        temperature=temperature,
        extra={"status": "final", "plugin": {"distribution": "some-plugin", "version": "1.2"}},
    )
    return folder


def _load(folder: Path) -> predictor.Predictor:
    return predictor.load(folder, registry.Registry(backbones={"small": small.backbone()}, strategies={}, plugins=()))


@pytest.mark.parametrize(("from_px", "to_px"), [(64, 40), (224, 128), (33, 32), (32, 32), (240, 260)])
def test_squares_are_resized_as_torch_resizes_them(from_px: int, to_px: int) -> None:
    """The two matrix products are the antialiased bilinear resize; a constant square stays one."""
    squares = torch.rand((2, 3, from_px, from_px), generator=torch.Generator().manual_seed(0))
    resize = model.SquareResize(from_px, to_px)
    want = torch.nn.functional.interpolate(squares, size=to_px, mode="bilinear", antialias=True)
    torch.testing.assert_close(resize(squares), want, atol=1e-5, rtol=0)
    torch.testing.assert_close(resize(torch.full_like(squares, 0.3)), torch.full_like(want, 0.3))
    assert not resize.state_dict()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("layers", ["last", "all", "middle"])
@pytest.mark.parametrize("kind", ["ridge", "cosine_prototypes", "knn"])
def test_a_loaded_model_is_the_saved_one(kind: str, layers: str, mirror: bool, tmp_path: Path) -> None:
    """Any head on any layers gives the same logits to the bit after a round trip, and has the same hash."""
    classifier = _classifier(kind, layers, mirror)
    data = small.digits()
    again = _load(_save(classifier, tmp_path))
    spec = ForwardSpec(small.backbone().preprocess, 12, small.COMPUTE)
    before = inference.logits(classifier, data.canvas, data.rows, spec)
    after = inference.logits(again.classifier, data.canvas, data.rows, spec)
    assert np.array_equal(before, after)
    assert predictor.weights_hash(again.classifier) == predictor.weights_hash(classifier)
    assert again.classes == CLASSES


def test_mirroring_averages_both_views() -> None:
    """A mirrored classifier's features are the mean of those of the image and of its mirror image."""
    plain, both = _classifier(), _classifier(mirror=True)
    x = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = (plain.eval().features(x) + plain.features(x.flip(-1))) / 2
    assert torch.allclose(both.eval().features(x), expected, atol=1e-6)
    assert torch.allclose(both.features(x), both.features(x.flip(-1)), atol=1e-6)


@pytest.mark.parametrize("fit", pixels.FITS)
def test_prediction_is_decode_normalise_forward_softmax(fit: str, tmp_path: Path) -> None:
    """Probabilities of files equal those written out by hand with torchvision's normalisation and the temperature."""
    from torchvision.transforms.functional import normalize

    model = _load(_save(_classifier(), tmp_path, fit=fit, temperature=1.7))
    paths = [photographs.save(photographs.photo(n, (60, 34)), tmp_path / f"p {n}.jpg") for n in range(5)]
    predictions = model.predict(paths)
    pre = small.backbone().preprocess
    rule = pixels.rule_for(pre, 12, fit)
    assert model.rule == rule
    squares = pixels.centre(np.stack([pixels.decode(p, rule) for p in paths]), 12)
    x = normalize(torch.from_numpy(squares.copy()).permute(0, 3, 1, 2) / 255, list(pre.mean), list(pre.std))
    with torch.inference_mode():
        expected = torch.softmax(model.classifier(x) / 1.7, dim=1).numpy()
    assert predictions.probabilities == pytest.approx(expected, abs=1e-5)
    assert predictions.paths == tuple(str(p) for p in paths)
    assert predictions.labels == tuple(CLASSES[i] for i in expected.argmax(1))


def test_predictions_do_not_depend_on_the_company(tmp_path: Path) -> None:
    """An image has the same probabilities alone and among others, to rounding: its batch has another size."""
    model = _load(_save(_classifier(), tmp_path))
    paths = [photographs.save(photographs.photo(n), tmp_path / f"{n}.jpg") for n in range(9)]
    together = model.predict(paths).probabilities
    for at, path in enumerate(paths):
        np.testing.assert_allclose(model.predict([path]).probabilities[0], together[at], atol=1e-6)


def test_unreadable_files_are_listed_and_skipped(tmp_path: Path) -> None:
    """Empty, truncated, missing and foreign files are set aside with a reason; the rest is classified."""
    model = _load(_save(_classifier(), tmp_path))
    good = photographs.save(photographs.photo(1), tmp_path / "good ✓.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (tmp_path / "text.png").write_text("hello")
    predictions = model.predict(
        [tmp_path / "empty.jpg", good, tmp_path / "cut.jpg", tmp_path / "none.jpg", tmp_path / "text.png"]
    )
    assert predictions.paths == (str(good),)
    assert predictions.probabilities.shape == (1, 4)
    assert [Path(u.path).name for u in predictions.unreadable] == ["empty.jpg", "cut.jpg", "none.jpg", "text.png"]
    assert all(u.reason and str(tmp_path) not in u.reason for u in predictions.unreadable)


def test_pictures_in_memory_and_nothing_at_all(tmp_path: Path) -> None:
    """A PIL image with transparency equals its file; images without a path are numbered; no image is no error."""
    model = _load(_save(_classifier(), tmp_path))
    picture = photographs.photo(3).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    path = photographs.save(picture, tmp_path / "see-through.png")
    predictions = model.predict([path, picture, np.asarray(photographs.photo(3))])
    assert np.array_equal(predictions.probabilities[0], predictions.probabilities[1])
    assert predictions.paths[1:] == ("#1", "#2")
    none = model.predict([])
    assert none.probabilities.shape == (0, 4)
    assert none.labels == ()


def test_one_path_is_one_image(tmp_path: Path) -> None:
    """A single path is not taken for a list of letters."""
    model = _load(_save(_classifier(), tmp_path))
    path = photographs.save(photographs.photo(1), tmp_path / "a.jpg")
    assert model.predict(str(path)).paths == (str(path),)


def test_the_hash_sees_every_bit() -> None:
    """Another weight, name, shape or type is another hash; memory layout and device are not looked at."""
    classifier = _classifier()
    before = predictor.weights_hash(classifier)
    classifier.to(memory_format=torch.channels_last)
    assert predictor.weights_hash(classifier) == before
    with torch.no_grad():
        classifier.head.bias[0] = torch.nextafter(classifier.head.bias[0], torch.tensor(9e9))  # type: ignore[index, union-attr, operator]
    assert predictor.weights_hash(classifier) != before
    assert predictor.weights_hash(torch.nn.Linear(2, 3).half()) != predictor.weights_hash(torch.nn.Linear(3, 2).half())


def test_the_description_says_everything_that_predict_needs(tmp_path: Path) -> None:
    """model.json holds classes, preprocessing, backbone, plugin, temperature, status and hash, readable."""
    classifier = _classifier()
    card = json.loads((_save(classifier, tmp_path, temperature=0.8) / "model.json").read_text(encoding="utf-8"))
    assert card["classes"] == list(CLASSES)
    assert card["preprocess"] == {
        "size_px": 12,
        "resize_px": 16,
        "interpolation": "bilinear",
        "fit": "crop",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert card["weights_sha256"] == predictor.weights_hash(classifier)
    assert (card["schema"], card["backbone"], card["layers"], card["head"]) == (
        1,
        "small",
        "last",
        "linear",
    )
    assert (card["temperature"], card["status"], card["plugin"]["distribution"]) == (
        0.8,
        "final",
        "some-plugin",
    )


def test_other_preprocessing_survives_the_round_trip(tmp_path: Path) -> None:
    """Mean, deviation, interpolation and sizes that differ from the backbone's are those that predict uses."""
    pre = Preprocess(size=14, resize=20, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.2, 0.3, 0.4))
    predictor.save(
        _classifier(),
        tmp_path / "model.safetensors",
        tmp_path / "model.json",
        classes=CLASSES,
        preprocess=pre,
        size_px=10,
        fit="crop",
        temperature=1.0,
    )
    again = _load(tmp_path)
    assert again.rule == pixels.rule_for(pre, 10, "crop")
    assert (again.preprocess.mean, again.preprocess.std) == (pre.mean, pre.std)


# ---- faults ------------------------------------------------------------------------------------------------------


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    """No model.json, or no tensors beside it, is one line that names the folder."""
    with pytest.raises(InputError, match=r"holds no model\.json"):
        _load(tmp_path)
    _save(_classifier(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing"):
        _load(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "not a model description of schema 1"),
        ({"temperature": "warm"}, 'temperature: expected a number from 1e-5 to 1e5, got "warm"'),
        ({"preprocess": {"size_px": 12}}, "preprocess.resize_px is missing"),
        ({"classes": None}, "classes: expected a list of different class names"),
        ({"head": "forest"}, 'head: expected one of linear, cosine, knn, got "forest"'),
    ],
)
def test_a_broken_description_is_told_with_its_field(change: dict[str, object], said: str, tmp_path: Path) -> None:
    """A field that is missing, of a wrong type or unknown is named."""
    path = _save(_classifier(), tmp_path) / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=said):
        _load(tmp_path)
    path.write_text("{ no json")
    with pytest.raises(InputError, match="cannot be read"):
        _load(tmp_path)


def test_damaged_and_exchanged_tensors_are_told(tmp_path: Path) -> None:
    """A cut file, a flipped bit and the tensors of another model are all found."""
    path = _save(_classifier(), tmp_path) / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="is damaged"):
        _load(tmp_path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"not the file that model\.json describes"):
        _load(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    path.write_bytes((_save(_classifier("logistic"), other) / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"not the file that model\.json describes"):
        _load(tmp_path)


def test_a_missing_backbone_names_its_package(tmp_path: Path) -> None:
    """Without the plugin of its backbone a model says which package to install."""
    path = _save(_classifier(), tmp_path) / "model.json"
    path.write_text(path.read_text().replace('"small"', '"huge"'))
    with pytest.raises(PluginError, match=r"needs the backbone huge of some-plugin 1\.2") as caught:
        _load(tmp_path)
    assert "pip install some-plugin==1.2" in str(caught.value)


def test_scores_of_saved_logits_are_calibrated(tmp_path: Path) -> None:
    """Predicted probabilities are those of the logits divided by the saved temperature."""
    model = _load(_save(_classifier(), tmp_path, temperature=2.0))
    data = small.digits()
    raw = inference.logits(model.classifier, data.canvas, data.rows, ForwardSpec(model.preprocess, 12, small.COMPUTE))
    given = classification.probabilities(model.logits(data.canvas, compute=small.COMPUTE))
    assert given == pytest.approx(classification.probabilities(raw, temperature=2.0), abs=1e-6)


def test_a_predictor_is_copied_without_its_copy_for_predictions(tmp_path: Path) -> None:
    """It answers the same after it, and a copy or a pickle is not twice as large once it has answered."""
    _save(_classifier(), tmp_path)
    loaded = _load(tmp_path)
    image = np.asarray(photographs.photo(1))
    before = loaded.predict([image]).probabilities
    assert "_folded" in vars(loaded)
    copied = copy.deepcopy(loaded)
    assert "_folded" not in vars(copied)
    np.testing.assert_allclose(copied.predict([image]).probabilities, before, atol=1e-6)
