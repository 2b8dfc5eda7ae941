"""Trials that fail for what a network or a strategy is: the record says which, and blames no rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from short_trials import order, twelve_crops

from advisor.execution import trial
from advisor.execution.resources import Resources
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
