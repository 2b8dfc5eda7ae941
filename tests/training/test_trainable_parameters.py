"""advisor.training.loop: exactly the stages, parameters and rates of the current phase train, the rest keeps every bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_network import changed, weights
from small_plans import ALL, FULL, GRADUAL, TOP, loop

from advisor import schedules
from advisor.hooks import Phase, ScheduleSpec


def test_everything_that_should_train_does() -> None:
    """Every parameter of the new network moves (mistake 1: an optimizer that holds another network's parameters)."""
    one = loop(FULL)
    before = weights(one.classifier)
    list(one.run(1))
    moved = changed(before, weights(one.classifier))
    assert {name for name, _ in one.classifier.named_parameters()} <= moved


@pytest.mark.parametrize("norm", ["trained", "frozen"])
def test_frozen_stages_stay_bit_for_bit(norm: str) -> None:
    """A stage that does not train keeps weights and BatchNorm statistics, and runs in eval mode (mistake 2)."""
    one = loop(replace(TOP, norm=norm), cache_bytes=0)
    before = weights(one.classifier)
    for _ in one.run():
        assert not any(m.training for m in one.classifier.body.layer_1.modules())
        assert not any(m.training for m in one.classifier.body.layer_11.modules())
        assert one.classifier.body.layer_12[3].training
    moved = changed(before, weights(one.classifier))
    assert moved
    assert all(name.startswith(("body.layer_12.", "head.")) for name in moved)
    statistics = {"body.layer_12.1.running_mean", "body.layer_12.1.running_var", "body.layer_12.1.num_batches_tracked"}
    assert (statistics <= moved) if norm == "trained" else not (statistics & moved)


@pytest.mark.parametrize(("only", "expected"), [("norm", (".1.weight", ".1.bias")), ("bias", (".1.bias",))])
def test_only_narrows_what_trains(only: str, expected: tuple[str, ...]) -> None:
    """With `only` exactly the norm parameters, or the biases, of the named stages train."""
    one = loop(replace(FULL, phases=(Phase(rates=ALL, head_rate=5e-3, only=only),)))
    before = weights(one.classifier)
    list(one.run(2))
    body = {name for name in changed(before, weights(one.classifier)) if name.startswith("body.")}
    assert body == {f"body.layer_{n}{end}" for n in (1, 11, 12) for end in expected}


def test_gradual_unfreezing_starts_at_the_head() -> None:
    """The head trains first, then the last stage, the stem last; until then a stage keeps every bit (mistake 5)."""
    one = loop(GRADUAL)
    before = weights(one.classifier)
    seen = []
    for step in one.run():
        moved = {name.split(".")[1] for name in changed(before, weights(one.classifier)) if name.startswith("body")}
        seen.append((step.step, moved))
    freed = [set(), set(), {"layer_12"}, {"layer_12"}, {"layer_11", "layer_12"}, {"layer_11", "layer_12"}]
    assert [moved for _, moved in seen[:6]] == freed
    assert seen[6][1] == {"layer_1", "layer_11", "layer_12"}


def test_unfreezing_keeps_the_optimizer_and_its_momentum() -> None:
    """One optimizer lives through all phases: momenta and step counts of what trained before go on (mistake 7)."""
    one = loop(GRADUAL)
    optimizer = one._optimizer
    list(one.run(2))
    weight = one.classifier.head.weight
    momentum = optimizer.state[weight]["exp_avg"].clone()
    assert float(momentum.abs().sum()) > 0
    list(one.run(3))
    assert one._optimizer is optimizer
    assert int(optimizer.state[weight]["step"]) == 3
    top = one.classifier.body.layer_12[0].weight
    assert int(optimizer.state[top]["step"]) == 1  # counted from its own beginning, not from the run's
    buffer = 0.9 * momentum + 0.1 * weight.grad
    torch.testing.assert_close(optimizer.state[weight]["exp_avg"], buffer)
    assert one.classifier.body.layer_1[0].weight not in optimizer.state


def test_rates_fall_from_head_to_stem_at_every_step() -> None:
    """Each group gets its stage's own rate times the schedule's factor, biases the same as weights (mistakes 6, 7)."""
    plan = replace(FULL, schedule=ScheduleSpec(name="onecycle", warmup=0.4), steps=10)
    one = loop(plan)
    for step in one.run():
        scale = schedules.factor(plan.schedule, step.step - 1, 10)
        rates = {(group["stage"], group["lr"]) for group in one._optimizer.param_groups}
        assert rates == {(n, r * scale) for n, r in [*ALL.items(), (schedules.HEAD, 5e-3)]}


def test_a_head_alone_trains_on_cached_features() -> None:
    """Where no stage ever trains, the body keeps every bit and the head learns from stored features."""
    one = loop(replace(TOP, phases=(Phase(head_rate=1e-2),), views=2))
    before = weights(one.classifier)
    list(one.run())
    assert changed(before, weights(one.classifier)) == {"head.weight", "head.bias"}
