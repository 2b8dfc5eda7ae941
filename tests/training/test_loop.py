"""advisor.training: plans are executed exactly, stopped and resumed anywhere, and leave nothing behind."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_network import COMPUTE, backbone, changed, classifier, digits, weights
from small_plans import ALL, FULL, GRADUAL, TOP, loop, trained

from advisor import schedules
from advisor.hooks import Augmentation, OptimizerSpec, Phase, ScheduleSpec, Term
from advisor.models import normalise
from advisor.training import loop as training
from advisor.training.batch_sampler import BatchSampler

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


def test_a_loss_that_is_read_now_and_then_is_read_at_the_first_step_of_each_call() -> None:
    """So it is on a GPU: no step has a loss that is not a number, and a reader can tell those that repeat an earlier one."""
    plan = replace(FULL, steps=40)
    each = [step.loss for step in loop(plan).run()]
    one = loop(plan, read_every=16)
    steps = [*one.run(5), *one.run(40)]
    read = [step.step for step in steps if step.is_read]
    assert read == [1, 5, 6, 16, 32, 40]
    assert [step.loss for step in steps] == [each[max(n for n in read if n <= step.step) - 1] for step in steps]


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
