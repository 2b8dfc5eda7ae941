"""Networks of timm: cut into stages that compose, filled from real files, resolved by name, with clear words for misuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from advisor import registry, testing
from advisor.errors import PluginError, WeightsError
from advisor.hooks import Backbone
from advisor.models import backbone as engine
from advisor.models import pretrained_weights
from advisor.runtime import hub

timm = pytest.importorskip("timm")
# One small network a family: tokens (with registers), rotary tokens, chain of `stages`, of `blocks`, of layers.
SMALL = ("test_vit2", "test_convnext", "test_efficientnet", "test_resnet", "test_byobnet")


@pytest.fixture(scope="module")
def plugins() -> registry.Registry:
    """What is installed."""
    return registry.load()


@pytest.fixture(scope="module", autouse=True)
def described_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Descriptions are kept for the whole module, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TL_ADVISE_CACHE", str(tmp_path_factory.mktemp("cache")))


def filled(backbone: Backbone, seed: int = 1) -> dict[str, torch.Tensor]:
    """Make the tensors of a file: the network's own names, other values, and a classifier."""
    tensors = engine.build(backbone, seed=seed).state_dict()
    return {**tensors, "head.weight": torch.ones(5, backbone.dim), "head.bias": torch.zeros(5)}


@pytest.mark.parametrize("name", SMALL)
def test_a_family_meets_its_contract(plugins: registry.Registry, name: str) -> None:
    """Every rule of the conformance kit holds for a small network of each family, with random weights."""
    backbone = plugins.backbone(f"timm/{name}")
    failed = [c for c in testing.check_backbone(backbone, offline=True, size_px=64) if not c.passed]
    assert not failed
    assert len(backbone.stages) >= 4


def test_listing_needs_neither_torch_nor_timm() -> None:
    """The curated table is read without importing either."""
    code = (
        "import sys, advisor_timm; offered = advisor_timm.advisor_backbones();"
        "assert offered and not {'torch', 'timm'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_curated_names_are_timms_own(plugins: registry.Registry) -> None:
    """Every curated network is a name and tag that the installed timm publishes, with its own licence."""
    published = set(timm.list_pretrained())
    for name in plugins.plugin("timm/vit_small_patch14_dinov2.lvd142m").provides:
        assert name.removeprefix("timm/") in published
        config = timm.get_pretrained_cfg(name.removeprefix("timm/"))
        assert pretrained_weights.as_weights(plugins.backbone(name)).licence == config.license


def test_weights_come_through_the_hub_cache(
    plugins: registry.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in Hugging Face's cache is found, read with its hash, and fills the network; its commit is known."""
    backbone = plugins.backbone("timm/test_vit2")
    folder = tmp_path / "hub" / "models--timm--test_vit2.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    file = folder / "snapshots" / "abc123" / "model.safetensors"
    file.parent.mkdir(parents=True)
    save_file(filled(backbone), file)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    located = pretrained_weights.locate(backbone, offline=True)
    tensors, digest, _ = pretrained_weights.read(backbone, located)
    module = engine.build(backbone, tensors)
    assert (located.state, located.path, hub.revision(file)) == ("cached", file, "abc123")
    assert len(digest) == 64
    assert torch.equal(module.state_dict()["blocks.0.attn.qkv.weight"], tensors["blocks.0.attn.qkv.weight"])


def test_a_file_from_elsewhere_is_taken(plugins: registry.Registry, tmp_path: Path) -> None:
    """--weights NAME=FILE: whatever the file is called, its tensors fill the network."""
    backbone = plugins.backbone("timm/test_resnet")
    file = tmp_path / "mine.bin"
    torch.save(filled(backbone), file)
    located = pretrained_weights.locate(backbone, weights_dir=pretrained_weights.link(backbone, file))
    tensors, _, _ = pretrained_weights.read(backbone, located)
    assert located.state == "cached"
    engine.build(backbone, tensors)


def test_tensors_that_do_not_fit_are_counted(plugins: registry.Registry) -> None:
    """A file of another network is refused with how many tensors are missing or have another shape, and the first."""
    backbone = plugins.backbone("timm/test_vit2")
    tensors = filled(backbone)
    tensors["blocks.0.attn.qkv.weight"] = torch.zeros(3, 3)
    del tensors["fc_norm.weight"], tensors["fc_norm.bias"]
    with pytest.raises(WeightsError, match=r"2 of \d+ tensors are missing \(first fc_norm.weight\).*blocks.0.attn.qkv"):
        engine.build(backbone, tensors)


@pytest.mark.parametrize(("tokens", "factor"), [("class", 1), ("mean", 1), ("both", 2)])
def test_features_of_a_transformer_can_be_chosen(plugins: registry.Registry, tokens: str, factor: int) -> None:
    """@class, @mean and @both give the class token, the patches' mean, or both; the contract holds for each."""
    plain = plugins.backbone("timm/test_vit3") if tokens == "mean" else plugins.backbone("timm/test_vit")
    chosen = plugins.backbone(f"{plain.name}@{tokens}")
    assert chosen.dim == factor * plain.dim
    failed = [c for c in testing.check_backbone(chosen, offline=True, size_px=64) if not c.passed]
    assert not failed
    engine.build(chosen, filled(plain))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("timm/test_vitt", "no network"),
        ("timm/test_vit.no_such_tag", "no weights tagged"),
        ("timm/test_resnet@class", "no tokens"),
        ("hf-hub:nobody", "names no repository"),
    ],
)
def test_unknown_names_are_explained(plugins: registry.Registry, name: str, says: str) -> None:
    """A misspelt network, a missing tag, a wrong feature and a bad repository are one line and a hint."""
    with pytest.raises(PluginError, match=says) as raised:
        plugins.backbone(name)
    assert raised.value.hint


def test_an_uncuttable_network_is_used_frozen(plugins: registry.Registry) -> None:
    """A network whose parts do not compose has one stage, says why, and offers no strategy anything to train."""
    backbone = plugins.backbone("timm/levit_128s")
    assert "cannot be cut into stages" in backbone.frozen_only
    assert [s.parameters for s in engine.stage_sizes(backbone)] == [0]


def test_without_a_network_fetching_says_so(plugins: registry.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is respected: unavailable in the list, one line where it is fetched."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    backbone = plugins.backbone("timm/test_vit")
    assert pretrained_weights.locate(backbone).reason == "weights not downloaded (HF_HUB_OFFLINE is set)"
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set|cannot be fetched"):
        hub.fetch(pretrained_weights.as_weights(backbone).url)


def test_input_sizes_follow_the_patch(plugins: registry.Registry) -> None:
    """A transformer asks for multiples of its patch, and takes other sizes without an error."""
    backbone = plugins.backbone("timm/test_vit")
    assert backbone.size_multiple == 16
    with torch.inference_mode():
        assert engine.build(backbone)(torch.zeros(1, 3, 72, 72)).shape == (1, backbone.dim)
