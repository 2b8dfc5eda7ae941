"""The conformance kit: it passes what keeps the rules, and each broken rule fails the check of its name."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from distributions import install
from torch import nn

from advisor import registry, testing
from advisor.hooks import (
    Backbone,
    Card,
    Head,
    OptimizerSpec,
    Parameter,
    Phase,
    Preprocess,
    Stage,
    Term,
    TrainPlan,
    Weights,
)
from advisor.testing import contexts, plans

STAGES = (Stage(name="stem", prefixes=("stem",)), Stage(name="body", prefixes=("body",)))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small images gain nothing from more threads, and on a busy machine these wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())


def _network(**more: nn.Module) -> nn.Module:
    layers = {"stem": _block(3, 6), "body": _block(6, 8), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    return nn.Sequential(OrderedDict({**layers, **more}))


GOOD = Backbone(name="good", dim=8, stages=STAGES, preprocess=Preprocess(size=24, resize=24), build=_network)


def _failed(checks: list[testing.Check]) -> dict[str, str]:
    return {c.name: c.detail for c in checks if not c.passed}


def test_a_backbone_that_keeps_the_rules_passes_them_all() -> None:
    """Nothing is objected to, and every rule was looked at."""
    checks = testing.check_backbone(replace(GOOD, parameters=sum(p.numel() for p in _network().parameters())))
    assert _failed(checks) == {}
    assert len(checks) == 15


class Noisy(nn.Module):
    """Noise in eval mode as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


class OverTheBatch(nn.Module):
    """Normalises over the batch in eval mode as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0)


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
        ({"build": _dead}, "gradients reach every stage", "no gradient reaches stage stem"),
    ],
)
def test_a_broken_rule_fails_its_check(changes, rule: str, message: str) -> None:
    """What is wrong is found by the check that is about it."""
    failed = _failed(testing.check_backbone(replace(GOOD, **changes)))
    assert rule in failed
    assert message in failed[rule]


def test_statistics_outside_the_trained_stage_are_watched() -> None:
    """A frozen BatchNorm that a later stage's code runs in train mode is found."""

    def run_stage(module: nn.Module, i: int, x: torch.Tensor) -> torch.Tensor:
        if i == 1 and module.body.training:
            module.stem.train()(torch.ones(2, 3, 8, 8))  # a look back at the stem, in the wrong mode
        return module.get_submodule(STAGES[i].name)(x)

    failed = _failed(testing.check_backbone(replace(GOOD, run_stage=run_stage)))
    assert "moved though its stage was frozen" in failed["frozen stages stand still"]


def test_preprocessing_is_compared_with_what_torchvision_states() -> None:
    """A plugin that offers one of torchvision's files with other numbers is found; nothing is downloaded for that."""
    url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    stated = replace(GOOD, weights=Weights(file="resnet18-f37072fd.pth", url=url))
    failed = _failed(testing.check_backbone(stated))
    assert "the weights were made with (224, 256, 'bilinear'" in failed["preprocessing is the weights' own"]


def test_damaged_weights_fail_their_check(tmp_path: Path) -> None:
    """Weights that are at hand are read, and must fill the network."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"damaged")
    failed = _failed(testing.check_backbone(replace(GOOD, weights=Weights(path=str(path)))))
    assert "cannot be read as weights" in failed["pretrained weights fill all of it"]


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


# ---- strategies --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A strategy that trains the last stage; every member can be replaced."""

    name: str = "sample"
    regime: str = "partial"
    card: Card = field(
        default_factory=lambda: Card(
            what="Train the last stage.",
            when="never",
            parameters=(Parameter(name="rate", default=0.01, low=1e-6, high=1.0, meaning="peak rate"),),
        )
    )
    objection: object = None
    guesses: tuple = ({"rate": 0.05},)
    drawn: object = None
    planned: object = None

    def applies(self, context):
        return self.objection

    def space(self, trial, context):
        return self.drawn(trial) if self.drawn else {"rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True)}

    def first_guesses(self, context):
        return self.guesses

    def plan(self, parameters, context):
        if self.planned:
            return self.planned(context)
        phase = Phase(rates={context.stages[-1].name: parameters["rate"]}, head_rate=parameters["rate"])
        return TrainPlan(phases=(phase,), steps=3, batch=4, optimizer=OptimizerSpec(name="sgd"))


def test_a_strategy_that_keeps_the_rules_passes_them_all() -> None:
    """Nothing is objected to; the training check says what moved."""
    checks = testing.check_strategy(Sample())
    assert _failed(checks) == {}
    assert checks[-1].detail == "3 steps, moved head, last"


def test_all_first_party_strategies_pass() -> None:
    """What ships keeps the rules that strangers are held to."""
    plugins = registry.load(select=["strategies"])
    failed = {name: _failed(testing.check_strategy(s)) for name, s in plugins.strategies.items()}
    assert {name: faults for name, faults in failed.items() if faults} == {}
    assert len(failed) >= 10


def _moves_the_stem(context):
    """A plan of two phases in disorder; both stages train."""
    last, first = context.stages[-1].name, context.stages[0].name
    later = Phase(start=2, rates={first: 0.1, last: 0.1}, head_rate=0.1)
    return TrainPlan(phases=(later, Phase(rates={last: 0.1}, head_rate=0.1)), steps=4, batch=4)


def test_phases_may_come_in_any_order() -> None:
    """The loop sorts phases; the kit sees that both stages moved."""
    checks = testing.check_strategy(Sample(planned=_moves_the_stem))
    assert _failed(checks) == {}
    assert checks[-1].detail == "4 steps, moved head, last, stem"


@pytest.mark.parametrize(
    ("changes", "rule", "message"),
    [
        ({"regime": "deep"}, "declares what hooks.Strategy asks for", "regime is 'deep'"),
        ({"objection": "never"}, "applies somewhere, and says why not elsewhere", "the first reason: never"),
        ({"objection": False}, "applies somewhere, and says why not elsewhere", "expected None or the reason"),
        ({"guesses": ()}, "first guesses are complete and legal", "first_guesses() is empty"),
        ({"guesses": ({"rate": 5.0},)}, "first guesses are complete and legal", "rate is 5.0, expected 1e-06 to 1.0"),
        ({"guesses": ({"speed": 1.0},)}, "first guesses are complete and legal", "which the card does not declare"),
        ({"guesses": ({"rate": [1]},)}, "first guesses are complete and legal", "expected a plain value"),
        (
            {"drawn": lambda trial: {"rate": trial.suggest_float("rate", 0.0, 1.0, log=True)}},
            "draws legal parameters, the same from the same draws",
            "draws rate from 0.0 to 1.0 on a log scale",
        ),
        (
            {"drawn": lambda trial: {"rate": float(torch.rand(()))}},
            "draws legal parameters, the same from the same draws",
            "different parameters for the same draws",
        ),
        ({"planned": lambda context: None}, "plans can be executed", "gives a NoneType, expected a TrainPlan"),
        (
            {"planned": lambda context: TrainPlan(head=Head(kind="ridge"), terms=(Term(function="no_such:thing"),))},
            "terms and finish can be imported",
            "no_such",
        ),
    ],
)
def test_a_broken_strategy_fails_its_check(changes, rule: str, message: str) -> None:
    """What is wrong is found by the check that is about it."""
    failed = _failed(testing.check_strategy(Sample(**changes)))
    assert rule in failed
    assert message in failed[rule]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "phases need steps"),
        ({"batch": 0}, "batch is 0"),
        ({"phases": (Phase(start=3, head_rate=1.0),)}, "the first phase begins at step 3"),
        ({"phases": (Phase(head_rate=1.0), Phase(head_rate=1.0))}, "two phases begin at the same step"),
        ({"phases": (Phase(rates={"layer9": 1.0}),)}, 'names stage "layer9"'),
        ({"phases": (Phase(rates={"stem": -1.0}),)}, "the rate of stem is -1.0"),
        ({"phases": (Phase(head_rate=float("nan")),)}, "the rate of the head is nan"),
        ({"phases": (Phase(rates={"stem": 0.0}),)}, "trains nothing"),
        ({"phases": (Phase(head_rate=1.0, only="weights"),)}, "only is 'weights'"),
        ({"head": Head(kind="mlp")}, "head.kind is 'mlp'"),
        ({"head": Head(kind="ridge")}, "only a linear head is trained"),
        ({"head": Head(layers="layer9")}, "head.layers is 'layer9'"),
        ({"norm": "batch"}, "norm is 'batch'"),
        ({"optimizer": OptimizerSpec(name="lion")}, "optimizer.name is 'lion'"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"terms": (Term(function="no colon"),)}, 'expected "module:function"'),
        ({"finish": Term(function="a:b", numbers={"alpha": "x"})}, "a:b[alpha] is 'x'"),
    ],
)
def test_faults_of_a_plan_are_named(changes, message: str) -> None:
    """Each field that the loop could not execute is named with what it holds."""
    context = contexts.context()
    good = TrainPlan(phases=(Phase(rates={"layer4": 0.1}, head_rate=0.1),), steps=5)
    assert plans.faults(good, context) == []
    assert any(message in fault for fault in plans.faults(replace(good, **changes), context))


# ---- imports -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "passed"), [("", True), ("import torch", False)])
def test_a_plugin_that_imports_torch_at_the_top_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, passed: bool
) -> None:
    """Listing plugins must not cost a second: that is looked at in a process of its own."""
    source = f"""
{line}
from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

@hookimpl
def advisor_backbones():
    return [Backbone(name="b", dim=4, stages=(Stage(name="a", prefixes=("0",)),),
                     preprocess=Preprocess(size=8, resize=8), build=lambda: None)]
"""
    install(tmp_path, "stranger", {"stranger": "stranger_module"}, {"stranger_module": source})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    info = registry.PluginInfo(name="stranger", kind="backbones", distribution="stranger", version="1.0")
    check = testing.check_imports(info)
    assert check.passed is passed
    assert passed or "it imports torch" in check.detail
