"""A candidate at work: the head that training starts from is fitted once for the same inputs, and never shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from opened import resources_of
from photos import write_crops

from advisor.data import dataset
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.records import Candidate


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    """Twelve crops in two classes, opened as a worker does."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=6, side_px=32), test_split="none")
    return resources_of(data, tmp_path)


def start(resources: Resources, fold: int = 0, seed: int = 0, **changes: object) -> torch.Tensor:
    """Give the weights of the head before the first step, and spoil the module that held them."""
    strategy = resources.registry.strategy("partial")
    rows = resources.folds()[fold][0]
    context = resources.context(resources.registry.backbone("pocket"), rows, 32)
    candidate = Candidate(
        backbone="pocket", strategy="partial", parameters=strategy.first_guesses(context)[0], size_px=32
    )
    plan = replace(resources.plan(candidate, rows), **changes)  # type: ignore[arg-type]
    head = trainer.classifier_for(resources, candidate, plan, rows, seed).head
    weights = head.weight.detach().clone()
    with torch.no_grad():
        head.weight.zero_()
    return weights


def test_the_head_that_training_starts_from_is_fitted_once(resources: Resources) -> None:
    """The second candidate on the same fold starts from the same bits, whatever the first one did to its copy."""
    first = start(resources)
    assert torch.equal(start(resources), first)
    assert len(resources.start_heads) == 1
    resources.start_heads.clear()
    assert torch.equal(start(resources), first)


@pytest.mark.parametrize("change", [{"fold": 1}, {"seed": 1}, {"fit": "squash"}, {"class_weights": "balanced"}])
def test_everything_that_the_start_depends_on_misses(resources: Resources, change: dict[str, object]) -> None:
    """Other rows, another seed, other pixels or class weights get a head of their own."""
    start(resources)
    start(resources, **change)  # type: ignore[arg-type]
    assert len(resources.start_heads) == 2
