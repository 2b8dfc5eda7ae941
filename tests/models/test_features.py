"""Pooled features: cached and uncached agree, every input of the key matters, any layer by name, no hook left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import small_network as small
import torch

from advisor import hooks, registry
from advisor.aliases import Float32s
from advisor.errors import CacheFullError, InputError, PluginError, WeightsError
from advisor.models import backbone as backbones
from advisor.models import features
from advisor.records import Compute, ForwardSpec
from advisor.runtime.cache import Store

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("stem", "middle", "top")


def _extract(store: Store | None = None, **changes: Any) -> features.Pooled:
    backbone = changes.pop("backbone", small.backbone())
    arguments: dict[str, Any] = {
        "spec": ForwardSpec(
            changes.pop("preprocess", backbone.preprocess),
            changes.pop("size_px", 12),
            changes.pop("compute", small.COMPUTE),
        ),
        "weights_key": "w",
        "item_key": "i",
        "store": store,
        **changes,
    }
    canvas = arguments.pop("canvas", small.digits(70).canvas)
    return features.extract(backbone, backbones.build(small.backbone(), seed=1), canvas, **arguments)


def test_features_are_those_of_a_direct_forward() -> None:
    """Every stage's features equal the network's own, normalised by hand, and the last its forward."""
    from torchvision.transforms.functional import normalize

    backbone, module = small.backbone(), backbones.build(small.backbone(), seed=1)
    canvas = small.digits(70).canvas
    pooled = _extract()
    x = torch.from_numpy(canvas[:, 2:14, 2:14]).permute(0, 3, 1, 2).float() / 255
    x = normalize(x, list(backbone.preprocess.mean), list(backbone.preprocess.std))
    with torch.inference_mode():
        expected = torch.cat(backbones.pooled(backbone, module, x), dim=1).numpy()
        forward = module(x).numpy()
    assert pooled.dims == (8, 16, 24)
    assert pooled.values == pytest.approx(expected, abs=1e-5)
    assert features.select(pooled, "last", NAMES) == pytest.approx(forward, abs=1e-5)


@pytest.mark.parametrize("name", ["mobilenet_v2", "pocket"])
def test_folding_batch_norm_changes_features_by_rounding(name: str) -> None:
    """All stages, in batches of another size; the network that was given keeps its layers."""
    backbone = registry.load().backbone(name)
    module = backbones.build(backbone, seed=1).eval()
    before = sum(isinstance(m, torch.nn.BatchNorm2d) for m in module.modules())
    canvas = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)

    def values(compute: Compute) -> Float32s:
        spec = ForwardSpec(backbone.preprocess, 32, compute)
        return features.extract(backbone, module, canvas, spec, weights_key="w", item_key="i").values

    plain = values(small.COMPUTE)
    folded = values(replace(small.COMPUTE, inference_batch=32, fold_batch_norm=True))
    assert not np.array_equal(folded, plain)
    np.testing.assert_allclose(folded, plain, rtol=1e-4, atol=1e-5 * float(np.abs(plain).max()))
    assert before == sum(isinstance(m, torch.nn.BatchNorm2d) for m in module.modules()) > 0


def test_selection_by_name() -> None:
    """Last, all, or one stage; widths of blocks only where stages lie side by side; an unknown name is told."""
    pooled = _extract()
    assert features.select(pooled, "all", NAMES).shape == (70, 48)
    assert np.array_equal(features.select(pooled, "middle", NAMES), pooled.values[:, 8:24])
    assert features.blocks(pooled, "all") == (8, 16, 24)
    assert features.blocks(pooled, "last") == ()
    with pytest.raises(ValueError, match='unknown layers "midle"'):
        features.select(pooled, "midle", NAMES)


def test_the_cache_gives_the_same_bits(tmp_path: Path) -> None:
    """Cached, stored and plain features are equal to the bit, and the second call runs no network."""
    store = Store(tmp_path)
    plain, first = _extract(), _extract(store)
    calls: list[int] = []
    second = _extract(store, progress=lambda done, total: calls.append(done))
    assert np.array_equal(plain.values, first.values)
    assert np.array_equal(plain.values, second.values)
    assert second.dims == plain.dims
    assert calls == []


@pytest.mark.parametrize(
    "change",
    [
        {"weights_key": "other"},
        {"item_key": "other"},
        {"size_px": 16},
        {"flip": True},
        {"preprocess": hooks.Preprocess(size=12, resize=16, mean=(0.5, 0.5, 0.5))},
        {"preprocess": hooks.Preprocess(size=12, resize=16, interpolation="bicubic")},
        {"compute": replace(small.COMPUTE, layout="contiguous")},
        {"compute": replace(small.COMPUTE, precision="bfloat16")},
        {"compute": replace(small.COMPUTE, threads=2)},
        {"compute": replace(small.COMPUTE, inference_batch=32)},
        {"compute": replace(small.COMPUTE, fold_batch_norm=True)},
        {"backbone": replace(small.backbone(), name="smaller")},
        {"canvas": small.digits(69).canvas},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_of_an_input_misses_the_cache(change: dict[str, Any], tmp_path: Path) -> None:
    """Each field that shapes the features is part of the key."""
    store = Store(tmp_path)
    _extract(store)
    calls: list[int] = []
    _extract(store, progress=lambda done, total: calls.append(done), **change)
    assert calls


def test_versions_and_processor_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another torch or another processor would give other bits, so it has another key."""
    backbone = small.backbone()
    module = backbones.build(backbone, seed=1)

    def fields() -> Any:
        return features.key_fields(
            backbone,
            module,
            small.digits(3).canvas,
            ForwardSpec(backbone.preprocess, 12, small.COMPUTE),
            weights_key="w",
            item_key="i",
            flip=False,
        )

    before = fields()
    monkeypatch.setattr(features.environment, "device_model", lambda device: "another")
    assert fields() != before
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert fields() != before
    monkeypatch.undo()
    monkeypatch.setattr(PIL, "__version__", "0.0")
    assert fields() != before
    monkeypatch.undo()
    assert fields() == before


def test_a_store_that_is_full_is_done_without(tmp_path: Path) -> None:
    """Where the cache cannot take them, features are computed all the same."""
    store = Store(tmp_path, cap_bytes=10)
    with pytest.raises(CacheFullError):
        store.keep({"kind": "x"}, np.zeros(1000))
    assert np.array_equal(_extract(store).values, _extract().values)


def test_features_do_not_depend_on_the_company() -> None:
    """An image has the same features to the bit alone, in a short last batch, and among others."""
    canvas = small.digits(70).canvas
    among = _extract().values
    assert np.array_equal(_extract(canvas=canvas[65:66]).values[0], among[65])
    assert np.array_equal(_extract(canvas=canvas[::-1].copy()).values[::-1], among)


def test_mirrored_features_are_those_of_mirrored_pixels() -> None:
    """The flipped view equals extracting from flipped canvases; averaging is the mean of both."""
    canvas = small.digits(70).canvas
    flipped = _extract(flip=True)
    assert np.array_equal(flipped.values, _extract(canvas=canvas[:, :, ::-1].copy()).values)
    mean = features.averaged(_extract(), flipped)
    assert mean.values == pytest.approx((_extract().values + flipped.values) / 2)


def test_nothing_gives_nothing() -> None:
    """No images have features of no rows and the right width."""
    pooled = _extract(canvas=small.digits(70).canvas[:0])
    assert pooled.values.shape == (0, 48)


# ---- extract_features --------------------------------------------------------------------------------------------


def _public(images: Any, **more: Any) -> tuple[np.ndarray, torch.nn.Module]:
    module = more.pop("module", None) or backbones.build(small.backbone(), seed=1)
    compute = Compute(device="cpu", precision="float32", layout="channels_last", threads=1)
    return features.extract_features(small.backbone(), images, module=module, compute=compute, **more), module


def test_any_stage_or_module_by_name() -> None:
    """A stage name, "last", "all" and the name of an inner module give what the network computes there."""
    canvas = small.digits(10).canvas
    every, _ = _public(canvas, layer="all")
    assert every.shape == (10, 48)
    assert np.array_equal(_public(canvas, layer="middle")[0], every[:, 8:24])
    assert np.array_equal(_public(canvas)[0], every[:, 24:])
    inner, _ = _public(canvas, layer="layer_11.2")  # the ReLU that ends the middle stage
    assert inner == pytest.approx(every[:, 8:24], abs=1e-6)


def test_hooks_are_removed_again() -> None:
    """No hook stays behind, after success and after a failure (docs/design.md 6.8); the training mode stays as it was."""
    module = backbones.build(small.backbone(), seed=1).train()
    _public(small.digits(4).canvas, layer="layer_11.0", module=module)
    with pytest.raises(InputError):
        _public(["nowhere.jpg"], layer="layer_11.0", module=module)
    with pytest.raises(PluginError, match='no stage and no module is called "layer_13"'):
        _public(small.digits(4).canvas, layer="layer_13", module=module)
    assert all(not part._forward_hooks for part in module.modules())
    assert all(part.training for part in module.modules())


def test_images_in_any_form_agree(tmp_path: Path) -> None:
    """A file, an opened picture and its pixels have the same features."""
    from PIL import Image

    pixels = small.digits(3).canvas[2]
    path = tmp_path / "digit ü.png"
    Image.fromarray(pixels).save(path)
    given, _ = _public([path, str(path), Image.open(path), pixels, path.read_bytes()])
    assert (given == given[0]).all()


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    """A file that is no image, a missing one and a wrong array are each named in one line."""
    (tmp_path / "text.png").write_text("no picture")
    for image, said in (
        (tmp_path / "text.png", "text.png cannot be read: not an image"),
        (tmp_path / "none.png", r"none.png cannot be read: "),
        (np.zeros((4, 4), dtype=np.uint8), r"#0 cannot be read: an image array must be \(H, W, 3\) uint8"),
        (7, "#0 cannot be read: expected a path"),
    ):
        with pytest.raises(InputError, match=said):
            _public([image])


def test_missing_weights_are_told() -> None:
    """Without a network available, a backbone that has no pretrained weights says so."""
    with pytest.raises(WeightsError):
        features.extract_features(small.backbone(), small.digits(2).canvas, offline=True)
