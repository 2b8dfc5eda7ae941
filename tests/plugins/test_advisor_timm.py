"""Networks of timm: cut into stages that compose, filled from real files, resolved by name, with clear words for misuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import results
import torch
from distributions import install
from safetensors.torch import save_file
from small_hub import serving_hub

import advisor_timm
from advisor import cli, registry, testing
from advisor.errors import WeightsError
from advisor.hooks import Backbone
from advisor.models import backbone as engine
from advisor.models import pretrained_weights, weight_sources
from advisor.runtime import hub
from advisor.tuning import candidates

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


@pytest.mark.parametrize("name", [*(n for n in advisor_timm.curated()), "timm/test_vit", "timm/resnet10t"])
def test_the_short_side_is_that_of_timms_own_evaluation(plugins: registry.Registry, name: str) -> None:
    """Images are resized to the size to which timm resizes them for these weights, to the pixel."""
    shape = plugins.backbone(name).preprocess
    config = timm.get_pretrained_cfg(name.removeprefix("timm/")).to_dict()
    settings = timm.data.resolve_data_config({"input_size": (3, shape.size, shape.size)}, pretrained_cfg=config)
    resize = timm.data.create_transform(**settings).transforms[0]
    longest = resize.size if isinstance(resize.size, int) else resize.size[0]  # both sides where it squashes
    assert (shape.resize, shape.mean, shape.std) == (longest, settings["mean"], settings["std"])
    assert resize.interpolation.value == shape.interpolation


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
    located = pretrained_weights.locate(backbone, weights_dir=weight_sources.link(backbone, file))
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
    ("name", "says", "hint"),
    [
        ("timm/test_vitt", 'has no network "test_vitt"', "Did you mean timm/test_vit"),
        ("timm/test_vit.no_such_tag", "has no weights tagged", "Tags: r160_in1k"),
        ("timm/test_resnet@class", "no tokens", "Use timm/test_resnet"),
        ("hf-hub:nobody", "names no repository", "OWNER/MODEL"),
        ("tim/test_vit", "unknown backbone", "tl-advise plugins"),
    ],
)
def test_unknown_names_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, says: str, hint: str
) -> None:
    """A misspelt network, a missing tag, a wrong feature and a bad repository are one line with a hint; exit code 2."""
    assert cli.run(["advise", str(tmp_path), "--backbone", name, "--offline", "--quiet"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert says in line
    assert hint in line


def test_repositories_on_the_hub_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gated, a deleted, a broken and an unsuitable repository, and a hub that is away: one line each."""
    constants = pytest.importorskip("huggingface_hub").constants
    cases = {
        "me/gated": "is gated",
        "me/gone": "does not exist, was deleted, or is private",
        "me/bert": "holds no network that timm can build",
        "me/broken": "holds no network that timm can build",
    }
    with serving_hub() as hub:
        hub.use(monkeypatch, tmp_path)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)  # read when the package was imported
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        hub.gated.add("me/gated")
        hub.files["me/bert/config.json"] = b'{"model_type": "bert"}'
        hub.files["me/broken/config.json"] = b'{"architecture'
        for repository, says in cases.items():
            assert cli.run(["weights", "fetch", f"hf-hub:{repository}"]) == 2
            line = capsys.readouterr().err
            assert (says in line, line.count("\n")) == (True, 1), line
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        assert cli.run(["weights", "fetch", "hf-hub:me/away"]) == 2
        assert "Hugging Face does not respond" in capsys.readouterr().err


def test_without_timm_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of timm is listed, and naming one of its networks is one line."""
    monkeypatch.setitem(sys.modules, "timm", None)
    assert not advisor_timm.advisor_backbones()
    assert cli.run(["weights", "fetch", "timm/resnet18.a1_in1k"]) == 2
    assert capsys.readouterr().err.strip().endswith('Install it: pip install "tl-advise[timm]".')


def test_a_name_that_two_plugins_claim_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is taken silently; the line names both, and how to leave one out."""
    source = """
from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

@hookimpl
def advisor_resolve_backbone(name):
    stages, shape = (Stage(name="all", prefixes=("0",)),), Preprocess(size=16, resize=16)
    return Backbone(name=name, dim=4, stages=stages, preprocess=shape, build=lambda: None) if "test_vit" in name else None
"""
    install(tmp_path, "stranger", {"greedy": "greedy_module"}, {"greedy_module": source})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.run(["weights", "fetch", "timm/test_vit"]) == 2
    line = capsys.readouterr().err
    assert '"timm/test_vit" is claimed by two plugins' in line
    assert "TL_ADVISE_PLUGINS=-" in line


def test_an_uncuttable_network_is_used_frozen(plugins: registry.Registry) -> None:
    """A network whose parts do not compose has one stage, says why, and offers no strategy anything to train."""
    backbone = plugins.backbone("timm/levit_128s")
    assert "cannot be cut into stages" in backbone.frozen_only
    assert [s.parameters for s in engine.stage_sizes(backbone)] == [0]


def test_without_a_network_fetching_says_so(plugins: registry.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is respected: unavailable in the list, one line where it is fetched."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(pytest.importorskip("huggingface_hub").constants, "HF_HUB_OFFLINE", True)  # read when imported
    backbone = plugins.backbone("timm/test_vit")
    assert pretrained_weights.locate(backbone).reason == "weights not downloaded (HF_HUB_OFFLINE is set)"
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        hub.fetch(pretrained_weights.as_weights(backbone).url)


WITH_AND_WITHOUT_REGISTERS = ("timm/test_vit2", "timm/test_vit")


@pytest.mark.parametrize("name", WITH_AND_WITHOUT_REGISTERS)
def test_sizes_follow_the_patch_and_positions_are_resampled(plugins: registry.Registry, name: str) -> None:
    """Sizes asked for become whole patches; at any of them the features are those of timm's own network of that size."""
    backbone = plugins.backbone(name)
    profile = results.profile()
    assert backbone.size_multiple == 16
    assert candidates.sizes(profile, backbone, 100) == (96,)
    assert all(size % 16 == 0 for size in candidates.sizes(profile, backbone, None))
    module = engine.build(backbone, seed=3)
    for size in (96, 160):
        own = timm.create_model(name.removeprefix("timm/"), num_classes=0, img_size=size).eval()
        state = checkpoint(own, module.state_dict())
        own.load_state_dict(state)
        images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            assert torch.allclose(module(images), own(images), atol=1e-4)


def checkpoint(own: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Resample the position table with timm's own function, as it does when it loads a file of another size."""
    from timm.layers import resample_abs_pos_embed

    prefix = 0 if own.no_embed_class else own.num_prefix_tokens
    table = resample_abs_pos_embed(state["pos_embed"], own.patch_embed.grid_size, num_prefix_tokens=prefix)
    return {**state, "pos_embed": table}


@pytest.mark.parametrize("name", WITH_AND_WITHOUT_REGISTERS)
def test_registers_are_no_patches(plugins: registry.Registry, name: str) -> None:
    """The mean is over the patches alone: neither the class token nor registers are in it, with a reference by hand."""
    chosen = plugins.backbone(f"{name}@mean")
    module = engine.build(chosen, seed=3)
    inner = module.network
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        tokens = inner.forward_features(images)
        patches = tokens[:, -16:]  # 4 x 4 patches of 16 px, behind everything else
        expected = inner.fc_norm(patches.mean(dim=1))
        assert torch.allclose(module(images), expected, atol=1e-5)
    assert tokens.shape[1] - 16 == inner.num_prefix_tokens


def test_input_sizes_follow_the_patch(plugins: registry.Registry) -> None:
    """A transformer asks for multiples of its patch, and takes other sizes without an error."""
    backbone = plugins.backbone("timm/test_vit")
    assert backbone.size_multiple == 16
    with torch.inference_mode():
        assert engine.build(backbone)(torch.zeros(1, 3, 72, 72)).shape == (1, backbone.dim)
