"""The checks of a backbone: they pass one that keeps the rules, and each broken rule fails the check of its name."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from failed_checks import failed
from safetensors.torch import save_file
from torch import nn

from advisor import testing
from advisor.hooks import (
    Backbone,
    Preprocess,
    Stage,
    Weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")

STAGES = (Stage(name="stem", prefixes=("stem",)), Stage(name="body", prefixes=("body",)))


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())


def _network(**more: nn.Module) -> nn.Module:
    layers = {"stem": _block(3, 6), "body": _block(6, 8), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    return nn.Sequential(OrderedDict({**layers, **more}))


GOOD = Backbone(name="good", dim=8, stages=STAGES, preprocess=Preprocess(size=24, resize=24), build=_network)


def test_a_backbone_that_keeps_the_rules_passes_them_all() -> None:
    """Nothing is objected to, and every rule was looked at."""
    checks = testing.check_backbone(replace(GOOD, parameters=sum(p.numel() for p in _network().parameters())))
    assert failed(checks) == {}
    assert len(checks) == 15


class Noisy(nn.Module):
    """Noise in eval mode as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


class OverTheBatch(nn.Module):
    """Normalises over the batch in eval mode as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0)


class Counting(nn.Module):
    """Adds how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


class InPlace(nn.Module):
    """Changes what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(0.5)


class Complex(nn.Module):
    """Holds a complex parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = nn.Parameter(torch.ones(1, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.phase).abs()


def _with_first(first: type[nn.Module]) -> nn.Module:
    network = _network()
    network.stem = nn.Sequential(first(), *network.stem)
    return network


class Dead(nn.Module):
    """Lets no gradient through."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


def _unseeded() -> nn.Module:
    import random

    network = _network()
    nn.init.constant_(network.stem[0].bias, random.random())
    return network


def _dead() -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(_block(3, 6), Dead()),
            body=_block(6, 8),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
        )
    )


@pytest.mark.parametrize(
    ("changes", "rule", "message"),
    [
        ({"dim": 0}, "declares what hooks.Backbone asks for", "dim is 0"),
        ({"build": lambda: 3}, "builds a network", "expected a torch.nn.Module"),
        ({"build": _unseeded}, "builds the same network from the same seed", "stem.0.bias differs"),
        (
            {"stages": STAGES[:1]},
            "stages cover every parameter and buffer exactly once",
            "body.0.weight is in no",
        ),
        (
            {"stages": (*STAGES, Stage(name="again", prefixes=("body.0",)))},
            "stages cover every parameter and buffer exactly once",
            "body.0.weight is in body and again",
        ),
        (
            {"stages": (STAGES[0], Stage(name="body", prefixes=("body", "tail")))},
            "every prefix names something",
            'nothing in the network is called "tail"',
        ),
        ({"parameters": 5}, "counts its parameters truly", "declares 5 parameters"),
        ({"dim": 9}, "gives (N, dim) in float32", "gives (2, 8) torch.float32, expected (2, 9)"),
        (
            {"build": lambda: _network(act=nn.Tanh())},
            "stages composed and pooled equal the forward",
            "the last pool and the forward differ",
        ),
        ({"pool": lambda module, i, x: x.flatten(2)}, "pools every stage to (N, d)", "stage stem pools to (2, 6, 144)"),
        ({"build": lambda: _network(noise=Noisy())}, "evaluates the same way twice, and image by image", "random"),
        (
            {"build": lambda: _network(centre=OverTheBatch())},
            "evaluates the same way twice, and image by image",
            "alone and in a batch",
        ),
        (
            {"build": lambda: _with_first(Counting)},
            "evaluates the same way twice, and image by image",
            "the forward changes stem.0.calls in eval mode",
        ),
        (
            {"build": lambda: _with_first(InPlace)},
            "evaluates the same way twice, and image by image",
            "the forward changes the images that it is given",
        ),
        ({"build": lambda: _with_first(Complex)}, "gradients reach every stage", "stem.0.phase is torch.complex64"),
        ({"build": _dead}, "gradients reach every stage", "no gradient reaches stage stem"),
    ],
)
def test_a_broken_rule_fails_its_check(changes, rule: str, message: str) -> None:
    """What is wrong is found by the check that is about it."""
    faults = failed(testing.check_backbone(replace(GOOD, **changes)))
    assert rule in faults
    assert message in faults[rule]


def test_statistics_outside_the_trained_stage_are_watched() -> None:
    """A frozen BatchNorm that a later stage's code runs in train mode is found."""

    def run_stage(module: nn.Module, i: int, x: torch.Tensor) -> torch.Tensor:
        if i == 1 and module.body.training:
            module.stem.train()(torch.ones(2, 3, 8, 8))  # a look back at the stem, in the wrong mode
        return module.get_submodule(STAGES[i].name)(x)

    faults = failed(testing.check_backbone(replace(GOOD, run_stage=run_stage)))
    assert "moved though its stage was frozen" in faults["frozen stages stand still"]


def test_preprocessing_is_compared_with_what_torchvision_states() -> None:
    """A plugin that offers one of torchvision's files with other numbers is found; nothing is downloaded for that."""
    url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    stated = replace(GOOD, weights=Weights(file="resnet18-f37072fd.pth", url=url))
    faults = failed(testing.check_backbone(stated))
    assert "the weights were made with (224, 256, 'bilinear'" in faults["preprocessing is the weights' own"]


def test_damaged_weights_fail_their_check(tmp_path: Path) -> None:
    """Weights that are available are read, and must fill the network."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"damaged")
    faults = failed(testing.check_backbone(replace(GOOD, weights=Weights(path=str(path)))))
    assert "cannot be read as weights" in faults["pretrained weights fill all of it"]


def test_a_size_that_is_refused_is_remarked_and_no_fault() -> None:
    """A network of one size only is a backbone; the remark says which sizes it refuses."""

    def run_stage(module: nn.Module, i: int, x: torch.Tensor) -> torch.Tensor:
        return module.get_submodule(STAGES[i].name)(x)

    class OneSize(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[-1] != 24:
                raise ValueError("24 px only")
            return super().forward(x)

    fixed = replace(GOOD, build=lambda: OneSize(OrderedDict(_network().named_children())), run_stage=run_stage)
    check = next(c for c in testing.check_backbone(fixed) if c.name == "takes other input sizes")
    assert check.passed
    assert "24 px only" in check.detail
    assert "Backbone(size_multiple=24) keeps it at 24 px" in check.detail


class Uncopied(nn.Sequential):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__(OrderedDict(_network().named_children()))
        self.lock = threading.Lock()


def test_any_object_with_the_members_is_checked_like_a_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the registry would take it: members by duck typing, a path beside its module, a network that cannot be copied."""
    save_file(_network().state_dict(), tmp_path / "w.safetensors")
    module = ModuleType("stranger_network")
    module.__file__ = str(tmp_path / "stranger_network.py")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def build() -> nn.Module:
        return Uncopied()

    build.__module__ = module.__name__
    odd = SimpleNamespace(
        name="odd", dim=8, stages=list(STAGES), preprocess=GOOD.preprocess, build=build, weights="w.safetensors"
    )
    checks = testing.check_backbone(odd)  # type: ignore[arg-type]
    assert failed(checks) == {}
    assert any(check.detail.startswith("w.safetensors, SHA-256") for check in checks)
