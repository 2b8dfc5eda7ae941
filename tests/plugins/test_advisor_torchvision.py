"""torchvision's backbones: every literal against torchvision's metadata, every network against torchvision's own."""

from __future__ import annotations

import re

import pytest
import torch
import torchvision

from advisor import testing
from advisor.hooks import Backbone
from advisor.models import backbone as engine
from advisor.models import pretrained_weights
from advisor_torchvision import advisor_backbones
from advisor_torchvision.facts import ARCHITECTURES, PUBLISHED

pytestmark = pytest.mark.usefixtures("one_thread")

BACKBONES = {b.name: b for b in advisor_backbones()}
FIRST = [a.name for a in ARCHITECTURES]
NAMED_IN_THE_PLAN = """resnet18 resnet34 resnet50 resnet101 vgg16 densenet121 mobilenet_v2 mobilenet_v3_small
mobilenet_v3_large squeezenet1_1 shufflenet_v2_x1_0 efficientnet_b0 efficientnet_b1 efficientnet_b3 efficientnet_v2_s
regnet_y_400mf regnet_y_1_6gf regnet_y_3_2gf convnext_tiny convnext_small convnext_base swin_t swin_v2_t maxvit_t vit_b_16
vit_b_32 inception_v3"""


def _published(name: str) -> torchvision.models.WeightsEnum:
    network, _, version = name.partition(".v")
    return torchvision.models.get_model_weights(network)[f"IMAGENET1K_V{version or 1}"]


def _on_meta(architecture: str, **options: object) -> torch.nn.Module:
    """Names and shapes of torchvision's own network, classifier included."""
    if architecture.startswith("regnet"):  # computes its widths with tensors
        return torchvision.models.get_model(architecture, **options)
    with torch.device("meta"):
        return torchvision.models.get_model(architecture, **options)


def _whole(architecture: str) -> torch.nn.Module:
    """torchvision's own network, classifier included, with numbers that keep activations alive."""
    if architecture == "inception_v3":
        # What torchvision does when it loads weights: it switches the rescaling of inputs on.
        whole = _on_meta(architecture, transform_input=True, init_weights=False).to_empty(device="cpu")
    elif architecture.startswith(("swin", "maxvit", "regnet")):  # their index tables or widths need values
        whole = torchvision.models.get_model(architecture)
    else:
        whole = _on_meta(architecture).to_empty(device="cpu")
    numbers = torch.randn(1 << 16, generator=torch.Generator().manual_seed(0))
    for name, value in whole.state_dict().items():
        if value.is_floating_point():
            drawn = numbers.repeat(-(-value.numel() // len(numbers)))[: value.numel()].view(value.shape)
            if value.ndim > 1:
                drawn = drawn * value[0].numel() ** -0.5
            elif name.endswith(("running_var", "weight")):
                drawn = 1 + 0.2 * drawn.tanh()
            value.copy_(drawn)
    return whole


def _images(size: int, n: int = 2) -> torch.Tensor:
    return torch.randn((n, 3, size, size), generator=torch.Generator().manual_seed(1))


def test_all_named_architectures_are_offered() -> None:
    """At least these architectures are offered, under torchvision's names."""
    assert set(NAMED_IN_THE_PLAN.split()) <= set(BACKBONES)


@pytest.mark.parametrize("architecture", FIRST)
def test_first_and_second_weights_are_separate_backbones(architecture: str) -> None:
    """A network whose weights torchvision published twice is offered twice, the second time as NAME.v2."""
    published = {w.name for w in torchvision.models.get_model_weights(architecture)}
    assert architecture in BACKBONES
    assert (f"{architecture}.v2" in BACKBONES) == ("IMAGENET1K_V2" in published)


@pytest.mark.parametrize("name", BACKBONES)
def test_literals_are_torchvisions(name: str) -> None:
    """File, address, checksum, size, preprocessing, accuracy and multiply-adds are those of torchvision's metadata."""
    backbone, published = BACKBONES[name], _published(name)
    stated, meta, transforms = pretrained_weights.as_weights(backbone), published.meta, published.transforms()
    assert stated is not None
    assert stated.url == published.url
    assert stated.file == published.url.rsplit("/", 1)[1]
    assert re.fullmatch(r"[0-9a-f]{8,}", stated.sha256_prefix)
    assert stated.file.endswith(f"-{stated.sha256_prefix}.pth")
    assert stated.bytes == pytest.approx(meta["_file_size"] * 2**20, abs=2**20 / 1000)
    own = backbone.preprocess
    assert ([own.size], [own.resize]) == (transforms.crop_size, transforms.resize_size)
    assert own.interpolation == transforms.interpolation.value
    assert (list(own.mean), list(own.std)) == (transforms.mean, transforms.std)
    assert backbone.published_accuracy == pytest.approx(meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    assert backbone.macs == pytest.approx(meta["_ops"] * 1e9)
    assert stated.licence


@pytest.mark.parametrize("architecture", FIRST)
def test_parameters_and_head_add_up_to_the_published_number(architecture: str) -> None:
    """Parameters of the trunk and of the classifier that was cut off are together as many as torchvision states."""
    backbone = BACKBONES[architecture]
    assert backbone.build_source_head is not None
    count = sum(p.numel() for p in engine.build_without_values(backbone).parameters())
    assert backbone.parameters == count
    head = sum(p.numel() for p in backbone.build_source_head().parameters())
    auxiliary = 0
    if architecture == "inception_v3":
        full = _on_meta(architecture, init_weights=False)
        auxiliary = sum(p.numel() for n, p in full.named_parameters() if n.startswith("AuxLogits."))
    assert count + head + auxiliary == _published(architecture).meta["num_params"]


@pytest.mark.parametrize("architecture", FIRST)
def test_stages_and_head_share_out_the_published_file(architecture: str) -> None:
    """Every tensor of a published file belongs to exactly one stage, to the source head, or to the auxiliary head."""
    backbone = BACKBONES[architecture]
    full = _on_meta(architecture, **({"init_weights": False} if architecture == "inception_v3" else {}))
    trunk = set(engine.build_without_values(backbone).state_dict())
    assert backbone.build_source_head is not None
    head = set(backbone.build_source_head().state_dict())
    auxiliary = {n for n in full.state_dict() if n.startswith("AuxLogits.")}
    assert trunk | head | auxiliary == set(full.state_dict())
    assert not trunk & head
    owners = {n: [s.name for s in backbone.stages if engine.covers(s, n)] for n in trunk}
    assert {n: o for n, o in owners.items() if len(o) != 1} == {}


@pytest.mark.parametrize("architecture", FIRST)
def test_stages_then_source_head_equal_torchvisions_network(architecture: str) -> None:
    """Filled with the tensors of torchvision's whole network, trunk and source head together give its logits."""
    backbone = BACKBONES[architecture]
    size = {"vit_b_16": 224, "vit_b_32": 224, "maxvit_t": 224, "inception_v3": 107}.get(architecture, 65)
    images = _images(size, n=1)
    whole = _whole(architecture)
    with torch.inference_mode():
        expected = whole.eval()(images)
    tensors = whole.state_dict()
    body = engine.build(backbone, tensors)
    head = engine.build_source_head(backbone, tensors)
    del whole
    with torch.inference_mode():
        last = engine.run(backbone, body, images)
        assert torch.allclose(head(last), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
        features = body(images)
        assert features.shape == (1, backbone.dim)
        assert torch.allclose(backbone.pool(body, len(backbone.stages) - 1, last), features, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x1_0"])
def test_conformance(architecture: str) -> None:
    """The public kit finds nothing to object to."""
    checks = testing.check_backbone(BACKBONES[architecture], size_px=64)
    assert [c for c in checks if not c.passed] == []
    assert len(checks) >= 14


def test_densenet_reads_the_names_that_its_files_carry() -> None:
    """DenseNet's files were made with older names (norm.1, conv.2), and are read all the same."""
    backbone = BACKBONES["densenet121"]
    tensors = engine.build(backbone).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): t for name, t in tensors.items()}
    assert set(old) != set(tensors)
    body = engine.build(backbone, old, seed=5)
    assert all(torch.equal(value, tensors[name]) for name, value in body.state_dict().items())


def test_inception_rescales_its_inputs_without_pretrained_weights_too() -> None:
    """Inputs normalised as for the other networks reach inception's first layer scaled to -1..1."""
    backbone = BACKBONES["inception_v3"]
    body = engine.build(backbone)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (backbone.preprocess.mean, backbone.preprocess.std))
    pixels = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    rescaled = body._transform_input((pixels - mean) / std)
    assert torch.allclose(rescaled, pixels * 2 - 1, atol=1e-5)


def test_a_vision_transformer_takes_other_sizes_than_its_own() -> None:
    """Positions are resampled to the grid of the input: the stored table keeps its shape, and gradients reach it."""
    from advisor_torchvision.vit import AnySizeViT

    torch.manual_seed(0)
    small = AnySizeViT(image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64)
    same = torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=1)
    same.heads = torch.nn.Identity()
    same.load_state_dict(small.state_dict())
    assert torch.equal(small.eval()(_images(64)), same.eval()(_images(64)))
    for size in (32, 96, 100):
        assert small(_images(size)).shape == (2, 32)
    small(_images(96)).square().sum().backward()
    table = small.encoder.pos_embedding
    assert table.shape == (1, 17, 32)
    assert bool(table.grad.abs().sum(dim=-1).gt(0).all())


def test_positions_of_a_constant_table_stay_constant() -> None:
    """Resampling a table that is the same everywhere changes nothing, at any size."""
    from advisor_torchvision.vit import AnySizeViT

    small = AnySizeViT(image_size=64, patch_size=16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    with torch.no_grad():
        small.encoder.pos_embedding.copy_(torch.arange(8.0).expand(1, 17, 8))
    for side in (1, 3, 4, 7):
        positions = small._positions(side, side)
        assert positions.shape == (1, 1 + side * side, 8)
        assert torch.allclose(positions, torch.arange(8.0).expand_as(positions), atol=1e-5)


def test_a_stage_prefix_never_takes_a_longer_name_along() -> None:
    """encoder_layer_1 belongs to one stage and encoder_layer_10 to another (36 parameters against 12)."""
    backbone: Backbone = BACKBONES["vit_b_16"]
    names = [n for n, _ in engine.build_without_values(backbone).named_parameters()]
    first = [n for n in names if engine.covers(backbone.stages[1], n)]
    assert {n.split(".")[2] for n in first} == {"encoder_layer_0", "encoder_layer_1", "encoder_layer_2"}


@pytest.mark.parametrize(("architecture", "whole"), [("mobilenet_v2", False), ("squeezenet1_1", True)])
def test_real_weights_are_read(architecture: str, whole: bool, shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached file that differs from its checksum is used with a warning; a classifier of zeros is not mistaken."""
    monkeypatch.setenv("TORCH_HOME", str(shared / "torch_home"))
    backbone = BACKBONES[architecture]
    located = pretrained_weights.locate(backbone, offline=True)
    assert located.state == "cached"
    tensors, digest, warning = pretrained_weights.read(backbone, located)
    assert digest == pretrained_weights.sha256(located.path)
    assert warning is not None
    assert "not the published file" in warning
    body = engine.build(backbone, tensors)
    with torch.inference_mode():
        assert bool(body(_images(64)).isfinite().all())
    if whole:
        assert engine.build_source_head(backbone, tensors)(engine.run(backbone, body, _images(64))).shape == (2, 1000)
    else:
        with pytest.raises(pretrained_weights.WeightsError, match="all zeros"):
            engine.build_source_head(backbone, tensors)


def test_one_fact_a_file() -> None:
    """Every published file is named once, by a network that exists."""
    assert len({p.file for p in PUBLISHED}) == len(PUBLISHED)
    assert {p.network for p in PUBLISHED} == set(FIRST)
