"""advisor.training: plans are executed exactly, stopped and resumed anywhere, and nothing frozen is touched."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_network import COMPUTE, backbone, changed, classifier, digits, weights

from advisor import schedules
from advisor.errors import TrialError
from advisor.hooks import Augmentation, Backbone, Batches, Head, OptimizerSpec, Phase, ScheduleSpec, Term, TrainPlan
from advisor.models import normalise
from advisor.training import loop as training
from advisor.training.batch_sampler import BatchSampler

ALL = {"stem": 1e-3, "middle": 2e-3, "top": 4e-3}
FULL = TrainPlan(phases=(Phase(rates=ALL, head_rate=5e-3),), steps=6, batch=16)
TOP = replace(FULL, phases=(Phase(rates={"top": 4e-3}, head_rate=5e-3),))
GRADUAL = replace(FULL, phases=schedules.gradual(ALL, 5e-3, first=2, every=2, warmup=1), steps=8)
VARIANTS = {
    "adamw": FULL,
    "sgd_trained_norm": replace(FULL, optimizer=OptimizerSpec(name="sgd", weight_decay=1e-3), norm="trained"),
    "gradual": GRADUAL,
    "average_and_mixing": replace(FULL, ema=0.9, augmentation=Augmentation(level="trivial", mixup=0.2, cutmix=0.5)),
    "cached_prefix": replace(TOP, views=2),
    "clipped_onecycle": replace(
        FULL, optimizer=OptimizerSpec(clip_norm=0.1), schedule=ScheduleSpec(name="onecycle", warmup=0.3)
    ),
}


def loop(plan: TrainPlan, *, seed: int = 0, start: int = 0, norm: bool = True, **more: Any) -> training.Loop:
    return training.Loop(classifier(start, norm), plan, digits(), size_px=12, seed=seed, compute=COMPUTE, **more)


def trained(plan: TrainPlan, until: int | None = None, **more: Any) -> dict[str, torch.Tensor]:
    one = loop(plan, **more)
    for _ in one.run(until):
        pass
    return weights(one.classifier)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_is_a_function_of_its_plan_and_seed(name: str) -> None:
    """The same plan and seed give the same bits, whatever torch's and numpy's global generators hold."""
    first = trained(VARIANTS[name])
    torch.manual_seed(99)
    np.random.seed(99)
    assert not changed(first, trained(VARIANTS[name]))
    assert changed(first, trained(VARIANTS[name], seed=1))


@pytest.mark.parametrize("stop", [1, 3, 5])
@pytest.mark.parametrize("name", VARIANTS)
def test_stopped_and_resumed_equals_not_stopped(name: str, stop: int) -> None:
    """A run that is written to disk at any step and goes on in a fresh loop ends in the same bits."""
    whole = loop(VARIANTS[name])
    losses = [step.loss for step in whole.run()]
    first = loop(VARIANTS[name])
    early = [step.loss for step in first.run(stop)]
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = loop(VARIANTS[name])
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.step == stop
    late = [step.loss for step in second.run()]
    assert early + late == losses
    assert not changed(weights(whole.finish()), weights(second.finish()))


def test_a_checkpoint_of_another_start_is_refused() -> None:
    """Going on from a state needs the start that it began with."""
    state = loop(FULL).state_dict()
    with pytest.raises(TrialError, match="other starting weights"):
        loop(FULL, start=1).load_state_dict(state)
    with pytest.raises(TrialError, match="does not fit this plan"):
        loop(FULL).load_state_dict({**state, "optimizer": {"state": {}, "param_groups": []}})


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


def test_the_loop_equals_a_plain_one() -> None:
    """SGD with a cosine equals a few lines of plain torch on the same images in the same order."""
    plan = replace(
        FULL,
        optimizer=OptimizerSpec(name="sgd", momentum=0.9, weight_decay=1e-2),
        augmentation=Augmentation(level="none"),
        label_smoothing=0.1,
    )
    data, network = digits(), classifier()
    network.body.layer_12[3].p = 0.0
    plain = classifier()
    plain.body.layer_12[3].p = 0.0
    list(training.Loop(network, plan, data, size_px=12, seed=0, compute=COMPUTE).run())

    plain.to(memory_format=torch.channels_last)
    stages = {"stem": plain.body.layer_1, "middle": plain.body.layer_11, "top": plain.body.layer_12}
    groups = []
    for name, module in [*stages.items(), ("head", plain.head)]:
        peak = ALL.get(name, 5e-3)
        for parameter in module.parameters():
            decay = 1e-2 if parameter.ndim > 1 else 0.0
            groups.append({"params": [parameter], "peak": peak, "weight_decay": decay})
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)
    order = BatchSampler(data.ids, seed=0, batch=16)
    for step in range(6):
        rows = order.at(step)[0]
        images = normalise.normalise(torch.from_numpy(data.canvas[rows][:, 2:14, 2:14]), backbone().preprocess)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * schedules.factor(plan.schedule, step, 6)
        optimizer.zero_grad()
        logits = plain.head(plain.body(images))
        labels = torch.from_numpy(data.labels[rows])
        torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1).backward()
        optimizer.step()
    for (name, ours), theirs in zip(network.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=name)


def test_looking_at_the_network_between_steps_changes_nothing() -> None:
    """Whoever evaluates between two steps, or switches modes, does not disturb training."""
    plan = replace(FULL, norm="trained")
    one = loop(plan)
    for _ in one.run():
        one.classifier.eval()
        with torch.inference_mode():
            one.classifier(torch.rand(3, 3, 12, 12))
    assert not changed(trained(plan), weights(one.classifier))


def test_training_leaves_no_hooks_and_no_seeds_behind() -> None:
    """No hook stays on any module (mistake 8), and torch's generator is as it was."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = loop(FULL)
    list(one.run())
    assert torch.equal(torch.get_rng_state(), before)
    for module in one.finish().modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        assert not any(hooks)


def test_the_frozen_prefix_cache_changes_nothing_but_speed() -> None:
    """The same views give the same weights with and without the cache, up to the last bits; it keeps its limit."""
    plan = replace(TOP, views=3, steps=12)
    cached, plain = loop(plan), loop(plan, cache_bytes=0)
    assert cached.cached
    assert not plain.cached
    assert loop(plan, cache_bytes=1000).cached  # in a file
    assert not changed(trained(plan, cache_bytes=1000), trained(plan))
    losses = [[step.loss for step in each.run()] for each in (cached, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    for name, value in cached.classifier.state_dict().items():
        torch.testing.assert_close(value, plain.classifier.state_dict()[name], atol=1e-5, rtol=1e-4, msg=name)


def test_what_cannot_be_cached_is_not() -> None:
    """Ever new views, mixed pixels, and a trained stem are computed anew."""
    assert not loop(TOP).cached
    assert not loop(replace(FULL, views=2)).cached
    assert not loop(replace(TOP, views=2, augmentation=Augmentation(mixup=0.2))).cached
    assert not loop(replace(TOP, views=2, head=Head(layers="all"))).cached
    assert loop(replace(TOP, augmentation=Augmentation(level="none"))).cached
    assert loop(replace(TOP, phases=(Phase(head_rate=1e-2),), views=2)).cached


def test_a_head_alone_trains_on_cached_features() -> None:
    """Where no stage ever trains, the body keeps every bit and the head learns from stored features."""
    one = loop(replace(TOP, phases=(Phase(head_rate=1e-2),), views=2))
    before = weights(one.classifier)
    list(one.run())
    assert changed(before, weights(one.classifier)) == {"head.weight", "head.bias"}


def test_repeated_views_repeat() -> None:
    """With `views` an image's view of round r is that of round r modulo views; without, rounds differ."""
    plan = replace(FULL, views=2)
    source = loop(plan)._feed._source
    here = np.arange(4)
    first, second, third = (source.views(here, np.full(4, r)) for r in (0, 1, 2))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_it_learns_digits() -> None:
    """A short run on real digits ends far below the loss that it began with."""
    plan = replace(FULL, steps=60, augmentation=Augmentation(level="light", scale=0.8), norm="trained")
    losses = [step.loss for step in loop(plan).run()]
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:3])


def test_the_moving_average_is_what_is_kept() -> None:
    """With `ema` the finished weights are the average of those that training went through."""
    plan = replace(FULL, ema=0.5)
    one = loop(plan)
    average = weights(one.classifier)
    for step in one.run():
        decay = min(0.5, step.step / (9 + step.step))
        now = one.classifier.state_dict()
        average = {n: v * decay + now[n] * (1 - decay) if v.is_floating_point() else now[n] for n, v in average.items()}
    finished = one.finish().state_dict()
    for name, value in average.items():
        torch.testing.assert_close(finished[name], value, atol=1e-6, rtol=1e-5)


def test_finish_merges_start_and_tuned_any_number_of_times() -> None:
    """A plan's finish starts from the tuned weights each time it is asked; afterwards nothing trains any more."""
    finish = Term(function="advisor_strategies.anchored:interpolate", numbers={"alpha": 0.5}, fitted=("alpha",))
    one = loop(replace(FULL, finish=finish))
    start = weights(one.classifier)
    list(one.run(3))
    tuned = weights(one.classifier)
    half = weights(one.finish())
    torch.testing.assert_close(half["head.weight"], (start["head.weight"] + tuned["head.weight"]) / 2)
    assert not changed(weights(one.finish({"alpha": 1.0})), tuned)
    assert not changed(weights(one.finish({"alpha": 0.0})), start)
    assert list(one.run()) == []


def test_terms_see_the_step_and_join_the_loss() -> None:
    """A term's value is added to the loss, and its gradient pulls: a strong pull to the start holds the body there."""
    pull = Term(function="advisor_strategies.anchored:l2_sp", numbers={"alpha": 1e4, "beta": 0.0})
    sgd = replace(FULL, optimizer=OptimizerSpec(name="sgd", momentum=0.0))
    rates = (Phase(rates=dict.fromkeys(ALL, 1e-4), head_rate=1e-4),)
    free, held = loop(replace(sgd, phases=rates)), loop(replace(sgd, phases=rates, terms=(pull,)))
    start = weights(free.classifier)
    distance = []
    for one in (free, held):
        list(one.run())
        now = one.classifier.state_dict()
        distance.append(sum(float((now[n] - start[n]).square().sum()) for n in start if n.startswith("body")))
    assert distance[1] < 0.5 * distance[0]


def test_a_loss_that_is_not_finite_fails_the_trial() -> None:
    """An absurd rate ends in one line that says at which step and why."""
    plan = replace(FULL, phases=(Phase(rates=dict.fromkeys(ALL, 1e30), head_rate=1e30),), steps=20, norm="frozen")
    plan = replace(plan, optimizer=OptimizerSpec(name="sgd"))
    with pytest.raises(TrialError, match=r"loss is .* at step \d+ of 20: the learning rate is too high"):
        list(loop(plan).run())


def test_memory_that_is_not_there_fails_the_trial() -> None:
    """Running out of memory is told as such, with the batch, so that the caller can try a smaller one."""

    def greedy(module: torch.nn.Module, index: int, x: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**58) + x

    network = classifier()
    here = backbone()
    kind = Backbone(
        name="greedy", dim=here.dim, stages=here.stages, preprocess=here.preprocess, build=here.build, run_stage=greedy
    )
    network = type(network)(kind, network.body, network.head, "last")
    one = training.Loop(network, FULL, digits(), size_px=12, seed=0, compute=COMPUTE)
    with pytest.raises(TrialError, match="out of memory on cpu with 16 images"):
        list(one.run())


def test_plans_that_cannot_run_are_refused() -> None:
    """No phases, no steps, no images, or a missing target domain: one line before anything is trained."""
    with pytest.raises(TrialError, match="nothing to train"):
        loop(replace(FULL, phases=()))
    with pytest.raises(TrialError, match="nothing to train"):
        loop(replace(FULL, steps=0))
    with pytest.raises(TrialError, match=r"nothing to train.*0 images"):
        training.Loop(classifier(), FULL, digits(rows=[]), size_px=12, seed=0, compute=COMPUTE)
    with pytest.raises(TrialError, match=r"target domain.*--target"):
        loop(replace(FULL, streams=(Batches(), Batches(name="target"))))


def test_fewer_images_than_a_batch_train() -> None:
    """Three images fill a batch of three."""
    one = training.Loop(classifier(), FULL, digits(rows=[0, 1, 2]), size_px=12, seed=0, compute=COMPUTE)
    assert len(list(one.run())) == 6


def test_a_network_without_norm_layers_trains() -> None:
    """Nothing in the loop needs BatchNorm."""
    assert changed(weights(classifier(norm=False)), trained(FULL, norm=False))


def test_half_precision_trains_close_to_single() -> None:
    """bfloat16 follows float32 roughly, and itself bit by bit; weights stay in float32."""
    half = replace(COMPUTE, precision="bfloat16")
    plan = replace(FULL, augmentation=Augmentation(level="none"))
    one = training.Loop(classifier(), plan, digits(), size_px=12, seed=0, compute=half)
    losses = [step.loss for step in one.run()]
    reference = [step.loss for step in loop(plan).run()]
    np.testing.assert_allclose(losses, reference, rtol=0.1)
    again = training.Loop(classifier(), plan, digits(), size_px=12, seed=0, compute=half)
    assert [step.loss for step in again.run()] == losses
    assert all(v.dtype == torch.float32 for v in one.classifier.parameters())


def test_a_step_on_a_cpu_queues_nothing_for_devices_that_are_not_there() -> None:
    """torch remembers a seed, with a traceback, for every GPU it may find later: thousands of steps would fill memory."""
    one = loop(FULL)
    before = len(torch.cuda._queued_calls)
    for _ in one.run():
        pass
    assert len(torch.cuda._queued_calls) == before
