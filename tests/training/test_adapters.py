"""Adapters: put into the stages that train, trained alone, taken out with what they learned left in the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from small_network import COMPUTE, digits
from torch import nn

from advisor.errors import TrialError
from advisor.hooks import Backbone, Phase, Preprocess, Stage, Term, TrainPlan
from advisor.models import backbone as engine
from advisor.models.classifier import Classifier
from advisor.training import loop as training
from advisor_strategies import low_rank

RATES = {"blocks": 1e-2, "top": 1e-2}
LORA = Term(
    function="advisor_strategies.low_rank:adapt", numbers={"rank": 2.0, "alpha": 4.0, "attention": 1.0, "mlp": 1.0}
)
PLAN = TrainPlan(phases=(Phase(rates=RATES, head_rate=1e-2, only="adapter"),), steps=6, batch=16, adapter=LORA)


class Tiny(nn.Module):
    """Four patches of an image as tokens, one block of attention, a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 6, 6)
        self.blocks = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.top = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.top(self.blocks(self.stem(x).flatten(2).transpose(1, 2))).mean(1)


def run_stage(module: nn.Module, index: int, x: torch.Tensor) -> torch.Tensor:
    """Run one of the three stages."""
    if index == 0:
        return module.stem(x).flatten(2).transpose(1, 2)
    return module.blocks(x) if index == 1 else module.top(x)


TINY = Backbone(
    name="tiny_tokens",
    dim=8,
    stages=tuple(Stage(name=name, prefixes=(name,)) for name in ("stem", "blocks", "top")),
    preprocess=Preprocess(size=12, resize=12),
    build=Tiny,
    run_stage=run_stage,
)


def scale_all(modules: Mapping[str, nn.Module], *, seed: int, start: float) -> Callable[[], None]:
    """Adapt as a third-party plugin may: one trainable factor beside every linear layer, multiplied in at the end."""
    layers = [m for m in modules.values() if isinstance(m, nn.Linear)]
    hooks = []
    for layer in layers:
        layer.factor = nn.Parameter(torch.full((1,), start))
        hooks.append(layer.register_forward_hook(lambda m, _, out: out * m.factor))

    def merge() -> None:
        for layer, hook in zip(layers, hooks, strict=True):
            hook.remove()
            with torch.no_grad():
                layer.weight.mul_(layer.factor)
                layer.bias.mul_(layer.factor)
            del layer.factor

    return merge


def make(plan: TrainPlan, seed: int = 0) -> training.Loop:
    """Begin a run on small digits."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        head = nn.Linear(8, 10)
    classifier = Classifier(backbone=TINY, body=engine.build(TINY, seed=3), head=head)
    return training.Loop(classifier, plan, digits(), size_px=12, seed=seed, compute=COMPUTE)


IMAGES = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def outputs(loop: training.Loop) -> torch.Tensor:
    """Return the features of four fixed images, in eval mode."""
    with torch.no_grad():
        return loop.classifier.body.eval()(IMAGES)


THIRD_PARTY = replace(PLAN, adapter=Term(function=f"{__name__}:scale_all", numbers={"start": 1.0}))


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, ema=0.5)], ids=["plain", "averaged"])
def test_it_starts_unchanged_learns_and_merges_exactly(plan: TrainPlan) -> None:
    """The outputs are the network's own at the start, others after training, and the same after merging."""
    plain = engine.build(TINY, seed=3)
    loop = make(plan)
    assert torch.allclose(outputs(loop), plain(IMAGES), atol=1e-6)
    list(loop.run())
    if plan.ema:
        merged = outputs_after(loop)
        assert not torch.allclose(merged, plain(IMAGES), atol=1e-4)
        return
    before = outputs(loop)
    assert not torch.allclose(before, plain(IMAGES), atol=1e-4)
    assert float((outputs_after(loop) - before).abs().max()) < 1e-5


def outputs_after(loop: training.Loop) -> torch.Tensor:
    """Finish, and return the outputs of what is left."""
    loop.finish()
    return outputs(loop)


def test_what_is_left_is_a_plain_network() -> None:
    """After the end the parameters have their own names again, and only adapted matrices and the head have moved."""
    plain = engine.build(TINY, seed=3).state_dict()
    loop = make(PLAN)
    list(loop.run())
    tuned = loop.finish().body.state_dict()
    moved = {name for name in plain if not torch.equal(plain[name], tuned[name])}
    assert set(tuned) == set(plain)
    assert moved == {
        "blocks.self_attn.in_proj_weight",
        "blocks.self_attn.out_proj.weight",
        "blocks.linear1.weight",
        "blocks.linear2.weight",
        "top.weight",
    }


def test_projections_are_chosen() -> None:
    """With attention alone no hidden layer moves."""
    plan = replace(PLAN, adapter=replace(LORA, numbers={**LORA.numbers, "mlp": 0.0}))
    loop = make(plan)
    plain = engine.build(TINY, seed=3).state_dict()
    list(loop.run())
    tuned = loop.finish().body.state_dict()
    assert {n for n in plain if not torch.equal(plain[n], tuned[n])} == {
        "blocks.self_attn.in_proj_weight",
        "blocks.self_attn.out_proj.weight",
    }


@pytest.mark.parametrize("stop", [1, 4])
def test_stopped_and_resumed_equals_not_stopped(stop: int) -> None:
    """A run that goes on from a state ends with the same bits."""
    whole = make(PLAN)
    list(whole.run())
    first = make(PLAN)
    list(first.run(stop))
    state = {k: (v.copy() if isinstance(v, dict) else v) for k, v in first.state_dict().items()}
    second = make(PLAN)
    second.load_state_dict(state)
    list(second.run())
    one, two = whole.finish().state_dict(), second.finish().state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_third_partys_adapter_trains_and_is_taken_out() -> None:
    """Any importable function may be an adapter: its parameters alone train, and leave with what they learned."""
    loop = make(THIRD_PARTY)
    list(loop.run())
    before = outputs(loop)
    body = loop.finish().body
    assert not any("factor" in name for name, _ in body.named_parameters())
    assert torch.allclose(outputs(loop), before, atol=1e-5)


def test_nothing_to_adapt_is_an_error() -> None:
    """An adapter that finds no layer of its kind in the stages that train says so."""
    stem = replace(PLAN, phases=(Phase(rates={"stem": 1e-2}, head_rate=1e-2, only="adapter"),))
    with pytest.raises(TrialError, match="found nothing to adapt in stem"):
        make(stem)


def test_the_update_is_scaled_by_alpha_over_rank() -> None:
    """W + (alpha / rank) B A, computed by hand."""
    layer = nn.Linear(3, 4)
    weight = layer.weight.detach().clone()
    merge = low_rank.adapt({"mlp": layer}, seed=0, rank=2.0, alpha=6.0, attention=0.0, mlp=1.0)
    update = layer.parametrizations.weight[0]
    with torch.no_grad():
        update.up.copy_(torch.arange(8.0).view(4, 2))
    expected = weight + 3.0 * (update.up @ update.down)
    merge()
    assert torch.allclose(layer.weight, expected, atol=1e-6)
