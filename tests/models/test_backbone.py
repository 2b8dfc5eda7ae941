"""Building, filling and running a backbone by stages, on small real networks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest
import small_network
import torch
import torchvision
from torch import nn

from advisor.errors import PluginError, WeightsError
from advisor.hooks import Backbone, Preprocess, Stage
from advisor.models import backbone


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())


def _build() -> nn.Module:
    layers = {"stem": _block(3, 8), "layer_1": _block(8, 12), "layer_11": _block(12, 16)}
    return nn.Sequential(OrderedDict({**layers, "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}))


SMALL = Backbone(
    name="small",
    dim=16,
    stages=tuple(Stage(name=n, prefixes=(n,)) for n in ("stem", "layer_1", "layer_11")),
    preprocess=Preprocess(size=32, resize=36),
    build=_build,
)


def _images(n: int = 2, size: int = 32) -> torch.Tensor:
    return torch.randn((n, 3, size, size), generator=torch.Generator().manual_seed(3))


def test_random_weights_follow_the_seed_and_leave_torchs_generator_alone() -> None:
    """The same seed builds the same network, another seed another, and the caller's draws are not disturbed."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (backbone.build(SMALL, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_a_built_network_is_in_eval_mode_and_float32() -> None:
    """Whatever the file's precision, the network computes in float32, and it is ready to evaluate."""
    tensors = {n: t.half() if t.is_floating_point() else t for n, t in backbone.build(SMALL).state_dict().items()}
    module = backbone.build(SMALL, tensors)
    assert not any(m.training for m in module.modules())
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_tensors_end_up_in_the_network() -> None:
    """Loading gives the network of the tensors, whatever it was built with."""
    tensors = backbone.build(SMALL, seed=4).state_dict()
    loaded = backbone.build(SMALL, tensors, seed=9).state_dict()
    assert all(torch.equal(loaded[n], t) for n, t in tensors.items())


def test_a_build_that_draws_until_its_values_are_in_range_ends() -> None:
    """As torch's truncated normal does: where draws are left out, memory as it was found may never come into range."""

    def build_with_far_memory() -> nn.Module:
        module = _build()
        for parameter in module.parameters():
            parameter.data.fill_(1e30)  # what uninitialised memory may hold
            for _ in range(1000):
                parameter.data.normal_(0.0, 0.02)
                if bool((parameter.abs() <= 2.0).all()):
                    break
            else:
                raise AssertionError("never in range")
        return module

    truncated = replace(SMALL, build=build_with_far_memory)
    tensors = backbone.build(truncated, seed=4).state_dict()
    loaded = backbone.build(truncated, tensors).state_dict()
    assert all(torch.equal(loaded[n], t) for n, t in tensors.items())


def test_tensors_that_do_not_fit_are_one_clear_line() -> None:
    """A file of another network is an input error that names the backbone, in one line."""
    other = torchvision.models.squeezenet1_1().state_dict()
    with pytest.raises(WeightsError, match="small: the weights do not fit") as caught:
        backbone.build(SMALL, other)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_part_that_would_stay_random_is_an_error() -> None:
    """A load_state that leaves something out is found: never a silent random initialisation."""

    def loosely(module: nn.Module, tensors: object) -> None:
        module.load_state_dict({k: v for k, v in tensors.items() if "layer_11" not in k}, strict=False)

    careless = replace(SMALL, load_state=loosely)
    with pytest.raises(WeightsError, match=r"leave layer_11\.0\.weight and 5 more without a value"):
        backbone.build(careless, backbone.build(SMALL).state_dict())


@pytest.mark.parametrize(
    ("build", "message"),
    [(lambda: 1 / 0, "division by zero"), (lambda: 5, "returned a int, expected a torch.nn.Module")],
)
def test_a_broken_build_is_the_plugins_fault(build, message: str) -> None:
    """An exception in build(), or something that is no module, is told in one line with the backbone's name."""
    with pytest.raises(PluginError, match="backbone small") as caught:
        backbone.build(replace(SMALL, build=build))
    assert message in str(caught.value)


def test_running_in_two_parts_equals_running_at_once() -> None:
    """run(.., 0, k) and then run(.., k) is the whole, and pooled it is the forward."""
    module = backbone.build(SMALL)
    images = _images()
    with torch.inference_mode():
        whole = backbone.run(SMALL, module, images)
        for cut in range(len(SMALL.stages) + 1):
            halfway = backbone.run(SMALL, module, images, 0, cut)
            assert torch.equal(backbone.run(SMALL, module, halfway, cut), whole)
        features = backbone.pooled(SMALL, module, images)
        assert [tuple(f.shape) for f in features] == [(2, 8), (2, 12), (2, 16)]
        assert torch.allclose(features[-1], module(images), atol=1e-6)


def test_dimensions_are_measured_without_touching_the_network() -> None:
    """stage_dims runs in eval mode and gives the mode back; BatchNorm statistics do not move."""
    module = backbone.build(SMALL).train()
    before = {n: v.clone() for n, v in module.state_dict().items()}
    assert backbone.stage_dims(SMALL, module) == (8, 12, 16)
    assert backbone.stage_dims(SMALL, module, 48) == (8, 12, 16)
    assert module.training
    assert all(torch.equal(before[n], v) for n, v in module.state_dict().items())


def test_every_parameter_belongs_to_one_stage() -> None:
    """layer_1 does not take layer_11 along, and the lists are complete and in order."""
    module = backbone.build(SMALL)
    stages = backbone.parameters_by_stage(SMALL, module)
    assert [name for stage in stages for name, _ in stage] == [n for n, _ in module.named_parameters()]
    assert {n.split(".")[0] for n, _ in stages[1]} == {"layer_1"}
    inside = backbone.modules_by_stage(SMALL, module)
    assert [n for n, _ in inside[1]] == ["layer_1", "layer_1.0", "layer_1.1", "layer_1.2"]


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [((("stem",), ("layer_1",)), "no stage"), ((("stem",), ("stem", "layer_1", "layer_11")), "a and b")],
)
def test_a_parameter_without_a_stage_or_with_two_is_an_error(prefixes, message: str) -> None:
    """An incomplete or overlapping cut is refused with the name of the parameter."""
    stages = tuple(Stage(name=n, prefixes=p) for n, p in zip("ab", prefixes, strict=True))
    cut = replace(SMALL, stages=stages)
    with pytest.raises(PluginError, match=message):
        backbone.parameters_by_stage(cut, backbone.build(cut))


def test_sizes_are_counted_without_building() -> None:
    """stage_sizes counts what the network really has, and sees norm layers."""
    sizes = backbone.stage_sizes(SMALL)
    module = backbone.build(SMALL)
    assert [s.parameters for s in sizes] == [
        sum(p.numel() for _, p in own) for own in backbone.parameters_by_stage(SMALL, module)
    ]
    assert [s.name for s in sizes] == ["stem", "layer_1", "layer_11"]
    assert all(s.has_norm for s in sizes)


def test_norms_of_every_family_are_seen() -> None:
    """Batch, layer, group and instance norms count; a network without norms has none."""
    for norm in (nn.BatchNorm2d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)):
        assert backbone.is_norm(norm)
        assert backbone.has_norm(nn.Sequential(nn.Conv2d(3, 4, 1), norm))
    assert not backbone.has_norm(torchvision.models.squeezenet1_1())


def test_an_unknown_stage_gets_the_nearest_name() -> None:
    """A misspelt stage is answered with a guess, a strange one with the list."""
    assert backbone.stage_index(SMALL, "layer_11") == 2
    with pytest.raises(PluginError, match='Did you mean "stem"'):
        backbone.stage_index(SMALL, "stemm")
    with pytest.raises(PluginError, match="stem, layer_1, layer_11"):
        backbone.stage_index(SMALL, "?")


def test_a_backbone_without_a_source_head_says_so() -> None:
    """Forgetting cannot be measured as accuracy there; a file without the head's tensors is told too."""
    with pytest.raises(WeightsError, match="has no source classifier"):
        backbone.build_source_head(SMALL, {})
    headed = replace(SMALL, build_source_head=lambda: nn.Linear(16, 10))
    with pytest.raises(WeightsError, match="weight is not in the file"):
        backbone.build_source_head(headed, {})
    with pytest.raises(WeightsError, match="does not fit"):
        backbone.build_source_head(headed, {"weight": torch.ones(3, 3), "bias": torch.ones(10)})


def test_features_of_another_type_than_the_network_computes_in_are_refused() -> None:
    """A head takes the images' float32, and under autocast what that gives; it would be the first to say so, at the test."""
    kind, features = small_network.backbone(), torch.zeros(2, small_network.DIM)
    assert backbone.checked(kind, 2, features, torch.float32) is features
    for other in (torch.float64, torch.float16, torch.bfloat16, torch.int64):
        with pytest.raises(PluginError, match=rf"pools to \(2, 24\) {other}, expected \(N, 24\) torch.float32"):
            backbone.checked(kind, 2, features.to(other), torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        backbone.checked(kind, 2, features.bfloat16(), torch.float32)
