"""advisor.training.loop: plans that cannot run, losses that are not finite and memory that is not there end in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_network import COMPUTE, backbone, classifier, digits
from small_plans import ALL, FULL, loop

from advisor.errors import TrialError
from advisor.hooks import Backbone, Batches, OptimizerSpec, Phase, Term, TermInputs
from advisor.training import loop as training


def undefined(inputs: TermInputs) -> torch.Tensor:
    """Return a term that is not a number."""
    return inputs.logits.sum() * float("nan")


def test_a_checkpoint_of_another_start_is_refused() -> None:
    """Going on from a state needs the start that it began with."""
    state = loop(FULL).state_dict()
    with pytest.raises(TrialError, match="other starting weights"):
        loop(FULL, start=1).load_state_dict(state)
    with pytest.raises(TrialError, match="another plan"):
        loop(replace(FULL, batch=8)).load_state_dict(state)
    with pytest.raises(TrialError, match="does not fit this plan"):
        loop(FULL).load_state_dict({**state, "optimizer": {"state": {}, "param_groups": []}})


def test_a_loss_that_is_not_finite_fails_the_trial() -> None:
    """An absurd rate ends in one line that says at which step and why."""
    plan = replace(FULL, phases=(Phase(rates=dict.fromkeys(ALL, 1e30), head_rate=1e30),), steps=20, norm="frozen")
    plan = replace(plan, optimizer=OptimizerSpec(name="sgd"))
    with pytest.raises(TrialError, match=r"loss is .* at step \d+ of 20: the learning rate is too high"):
        list(loop(plan).run())


def test_a_loss_that_is_not_finite_before_anything_was_trained_blames_no_rate() -> None:
    """The first loss is of the network as it came: its outputs or a term are at fault, as a smaller rate would show too."""
    plan = replace(FULL, terms=(Term(function=f"{__name__}:undefined"),))
    with pytest.raises(
        TrialError, match=r"loss is nan at step 1 of \d+: nothing was trained before: outputs of the network"
    ):
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


def test_a_stage_that_the_network_does_not_have_is_named() -> None:
    """It would train less than its plan says, without a word."""
    stray = replace(FULL, phases=(Phase(rates={"layer4": 1e-3}, head_rate=1e-3),))
    with pytest.raises(TrialError, match='the plan trains stage "layer4", and the network has stem, middle, top'):
        loop(stray)
