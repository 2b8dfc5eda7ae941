"""Trials that fail for what a network or a strategy is: the record says which, and blames no rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from short_trials import order, twelve_crops

from advisor.execution import trial
from advisor.execution.resources import Resources
from advisor.hooks import Head
from advisor.plugin_guard import GuardedStrategy
from advisor.records import Candidate


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    """Twelve crops in two classes, opened as a worker does."""
    return twelve_crops(tmp_path)


def test_a_plan_that_trains_a_network_which_is_used_as_it_is_fails_with_the_reason(resources: Resources) -> None:
    """A third-party strategy may overlook that the network's stages cannot be told apart."""
    job = order(resources, 1)
    plan = resources.plan(job.candidate, resources.folds()[0][0])
    careless = SimpleNamespace(name="partial", regime="partial", plan=lambda parameters, context: plan)
    whole = replace(resources.registry.backbone("pocket"), frozen_only="its stages are not known")
    resources.registry = replace(resources.registry, backbones={"pocket": whole}, strategies={"partial": careless})
    done = trial.run(resources, job, lambda progress: None)
    assert done.state == "failed"
    assert done.error == "partial: plan() trains stages of pocket, which is used as it is: its stages are not known"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"norm": "thawed"}, "norm is 'thawed', expected one of trained, frozen"),
        ({"ema": 2.0}, "ema is 2.0, expected a number from 0 to below 1"),
        ({"views": -3}, "views is -3, expected a number 0 or more"),
        ({"head": Head(kind="ridge")}, "a ridge head with 1 phases: only a linear head is trained, and it has to be"),
    ],
)
def test_a_third_partys_plan_that_says_what_no_training_can_do_is_not_trained(
    resources: Resources, changes: dict[str, Any], said: str
) -> None:
    """It was trained as if the field said something else; the trial fails with the plugin and the field."""
    job = order(resources, 1)
    plan = replace(resources.plan(job.candidate, resources.folds()[0][0]), **changes)
    planner = SimpleNamespace(name="partial", regime="partial", card="Mine.", plan=lambda parameters, context: plan)
    guarded = GuardedStrategy(planner, "plugin mine (my-package)")
    resources.registry = replace(resources.registry, strategies={"partial": guarded})
    done = trial.run(resources, job, lambda progress: None)
    assert done.state == "failed"
    assert f"partial: plugin mine (my-package) failed: plan() returned a plan that the hooks do not allow: {said}" in (
        done.error
    )


@pytest.mark.parametrize("strategy", ["knn", "prototypes"])
def test_features_of_an_earlier_stage_that_are_not_finite_are_no_matter_of_the_rate(
    resources: Resources, strategy: str
) -> None:
    """A head that reads every stage trains nothing that has a rate."""
    pocket = resources.registry.backbone("pocket")

    def pool(module: torch.nn.Module, index: int, x: torch.Tensor) -> torch.Tensor:
        return pocket.pool(module, index, x) * (float("nan") if index == 0 else 1.0)

    resources.registry = replace(resources.registry, backbones={"pocket": replace(pocket, pool=pool)})
    candidate = Candidate(backbone="pocket", strategy=strategy, parameters={"layers": "all"}, size_px=32)
    done = trial.run(resources, replace(order(resources, 1), candidate=candidate), lambda progress: None)
    assert (done.state, done.failure_kind) == ("failed", "other")
    assert "are the features of every stage that it reads" in done.error
