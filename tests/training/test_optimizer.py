"""advisor.training.optimizer: who belongs to which group, who is decayed, who trains, who is in which mode."""

from __future__ import annotations

import pytest
import torch
from small_network import backbone, classifier
from torch import nn

from advisor import schedules
from advisor.errors import InputError
from advisor.hooks import Backbone, OptimizerSpec, Phase, Preprocess, Stage
from advisor.training import optimizer as optimizers

PHASE = Phase(rates={"top": 1e-3, "stem": 0.0}, head_rate=1e-2)


def slots() -> tuple[optimizers.Slot, ...]:
    network = classifier()
    return optimizers.slots(network.backbone, network.body, network.head)


def test_every_parameter_has_one_slot_of_its_own_stage() -> None:
    """Stages are told by whole names: layer_1 does not take layer_11 and layer_12 along (mistake 4)."""
    by_name = {slot.name: slot.stage for slot in slots()}
    assert len(by_name) == len(list(classifier().parameters()))
    assert by_name["body.layer_1.0.weight"] == "stem"
    assert by_name["body.layer_11.0.weight"] == "middle"
    assert by_name["body.layer_12.1.bias"] == "top"
    assert by_name["head.bias"] == schedules.HEAD


def test_stages_come_from_prefixes_also_in_a_transformer() -> None:
    """encoder_layer_1 is one layer of a ViT and not the twelve whose names begin like it (mistake 4)."""
    from torchvision.models import VisionTransformer

    with torch.device("meta"):
        body = VisionTransformer(32, 16, 12, 2, 8, 16, num_classes=3)
    stages = (
        Stage(name="one", prefixes=("encoder.layers.encoder_layer_1",)),
        Stage(
            name="rest",
            prefixes=(
                "class_token",
                "conv_proj",
                "heads",
                "encoder.pos_embedding",
                "encoder.ln",
                *(f"encoder.layers.encoder_layer_{i}" for i in range(12) if i != 1),
            ),
        ),
    )
    here = Backbone(name="vit", dim=8, stages=stages, preprocess=Preprocess(size=32, resize=32), build=lambda: body)
    by_stage = optimizers.slots(here, body, nn.Identity())
    assert sum(slot.stage == "one" for slot in by_stage) == 12
    undecayed = {slot.name.rsplit(".", 1)[-1] for slot in by_stage if not slot.decayed}
    assert undecayed == {"class_token", "pos_embedding", "bias", "in_proj_bias", "weight"}
    assert all(slot.is_norm for slot in by_stage if not slot.decayed and slot.name.endswith(".weight"))


def test_weight_decay_spares_biases_and_norms() -> None:
    """Only matrices and filters are decayed."""
    decayed = {slot.name for slot in slots() if slot.decayed}
    assert decayed == {*(f"body.layer_{n}.0.weight" for n in (1, 11, 12)), "head.weight"}
    optimizer = optimizers.build(OptimizerSpec(weight_decay=0.3), slots())
    for group in optimizer.param_groups:
        assert group["weight_decay"] in (0.0, 0.3)
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (OptimizerSpec(name="sgd", momentum=0.9), torch.optim.SGD),
        (OptimizerSpec(name="adam"), torch.optim.Adam),
        (OptimizerSpec(name="adamw", momentum=0.8, beta2=0.95), torch.optim.AdamW),
    ],
)
def test_the_optimizer_is_the_one_asked_for(spec: OptimizerSpec, kind: type) -> None:
    """Names and numbers reach torch's optimizer; SGD with momentum is Nesterov's."""
    optimizer = optimizers.build(spec, slots())
    assert type(optimizer) is kind
    if spec.name == "sgd":
        assert optimizer.defaults["nesterov"]
        assert not optimizers.build(OptimizerSpec(name="sgd", momentum=0.0), slots()).defaults["nesterov"]
    else:
        assert optimizer.defaults["betas"] == (spec.momentum, spec.beta2)


def test_an_unknown_optimizer_is_named() -> None:
    """A misspelt optimizer is one line with those that exist."""
    with pytest.raises(InputError, match=r"adamm.*adam, adamw, sgd"):
        optimizers.build(OptimizerSpec(name="adamm"), slots())


def test_freezing_leaves_exactly_the_phase_trainable() -> None:
    """Stages that a phase does not name, or gives no rate, stand still and hold no gradient."""
    all_slots = slots()
    for slot in all_slots:
        slot.parameter.grad = torch.ones_like(slot.parameter)
    optimizers.freeze(all_slots, PHASE)
    assert {s.stage for s in all_slots if s.parameter.requires_grad} == {"top", schedules.HEAD}
    assert list(optimizers.live_parameters(all_slots)) == []


def test_frozen_parameters_are_skipped_not_stepped() -> None:
    """Decay and momentum do not move a parameter that has no gradient (mistake 7)."""
    all_slots = slots()
    optimizer = optimizers.build(OptimizerSpec(weight_decay=0.5), all_slots)
    optimizers.freeze(all_slots, PHASE)
    optimizers.set_rates(optimizer, {"top": 0.1, "stem": 0.1, "middle": 0.1})
    before = {slot.name: slot.parameter.detach().clone() for slot in all_slots}
    for slot in all_slots:
        if slot.parameter.requires_grad:
            slot.parameter.grad = torch.ones_like(slot.parameter)
    optimizer.step()
    moved = {slot.stage for slot in all_slots if not torch.equal(before[slot.name], slot.parameter)}
    assert moved == {"top"}  # the head has a gradient, and no rate was set for it


@pytest.mark.parametrize("norm", ["frozen", "trained"])
def test_modes_follow_stages_and_the_norm_knob(norm: str) -> None:
    """Frozen stages evaluate wholly; BatchNorm of trained stages does as the knob says, dropout trains."""
    network = classifier()
    modes = dict(optimizers.modes(backbone(), network.body, network.head, slots_of(network), PHASE, norm))
    assert not modes[network.body]
    assert not any(modes[m] for m in network.body.layer_1.modules())
    assert modes[network.body.layer_12[1]] is (norm == "trained")
    assert modes[network.body.layer_12[3]]
    assert modes[network.head]


def slots_of(network: nn.Module) -> tuple[optimizers.Slot, ...]:
    return optimizers.slots(network.backbone, network.body, network.head)  # type: ignore[arg-type]
