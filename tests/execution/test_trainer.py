"""A candidate at work: the head that training starts from is fitted once for the same inputs, and never shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from opened import resources_of
from photographs import photo, save
from photos import write_crops

from advisor.data import dataset
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.heads import fitting
from advisor.records import Candidate, Dataset, Head


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


@pytest.fixture(scope="module", name="series")
def _series(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twelve photographs whose labels say nothing of what they show, each five times in other bytes."""
    root = tmp_path_factory.mktemp("series")
    rows = []
    for number in range(12):
        for frame in range(5):
            save(photo(number, (64, 64)), root / f"{number:02d}-{frame}.jpg", quality=95 - 8 * frame)
            rows.append(f"{number:02d}-{frame}.jpg,c{number % 3},s{number}")
    (root / "labels.csv").write_text("\n".join(["path,label,group", *rows]) + "\n")
    return dataset.read(root / "labels.csv", test_split="none")


def heads(data: Dataset, procedure: int) -> tuple[Resources, torch.Tensor, torch.Tensor]:
    """Fit what a logistic candidate ships, and what training starts from, on all images."""
    resources = resources_of(data, procedure=procedure)
    rows = np.arange(len(resources.labels))
    weights = []
    for strategy in ("logistic", "partial"):
        context = resources.context(resources.registry.backbone("pocket"), rows, 32)
        parameters = resources.registry.strategy(strategy).first_guesses(context)[0]
        candidate = Candidate(backbone="pocket", strategy=strategy, parameters=parameters, size_px=32)
        plan = resources.plan(candidate, rows)
        weights.append(trainer.classifier_for(resources, candidate, plan, rows, 0).head.weight.detach())
    return resources, weights[0], weights[1]


def test_the_penalty_is_chosen_on_folds_that_keep_groups_whole(series: Dataset) -> None:
    """Copies on both sides of a fold would say that a weak penalty is best; recipes of that time still get theirs."""
    resources, shipped, start = heads(series, 2)
    _, earlier, earlier_start = heads(series, 1)
    pooled = resources.pooled(resources.registry.backbone("pocket"), 32)
    groups = np.array([int(item.group.removeprefix("s")) for item in resources.job.items])

    def fitted(groups: np.ndarray | None) -> torch.Tensor:
        values = pooled.values[:, -pooled.dims[-1] :].copy()
        return fitting.fit(Head(kind="linear"), values, resources.labels, 3, groups=groups).weight.detach()

    assert torch.equal(start, fitted(groups))
    assert torch.equal(earlier_start, fitted(None))
    assert shipped.norm() < 0.5 * earlier.norm()
    assert start.norm() < 0.5 * earlier_start.norm()


def test_without_groups_of_several_images_heads_are_what_they_were(tmp_path: Path) -> None:
    """The folds inside a fit are those of single images, to the bit."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=12, side_px=32), test_split="none")
    for now, earlier in zip(heads(data, 2)[1:], heads(data, 1)[1:], strict=True):
        assert torch.equal(now, earlier)
