"""Trials of a few steps on twelve crops: what tests of trials and their checkpoints run."""

from __future__ import annotations

from pathlib import Path

from opened import resources_of
from photos import write_crops

from advisor.data import dataset
from advisor.execution.resources import Resources
from advisor.records import Candidate
from advisor.records.messages import RunTrial


def twelve_crops(folder: Path) -> Resources:
    """Open twelve crops in two classes as a worker does, with three folds and a run directory."""
    data = dataset.read(write_crops(folder / "crops", classes=2, each=6, side_px=32), test_split="none")
    (folder / "run" / "trials").mkdir(parents=True)
    return resources_of(data, folder / "run")


def order(resources: Resources, epochs: float, **more: object) -> RunTrial:
    """Ask for a partial fine-tuning of the built-in backbone."""
    strategy = resources.registry.strategy("partial")
    backbone = resources.registry.backbone("pocket")
    context = resources.context(backbone, resources.folds()[0][0], 32)
    parameters = {**strategy.first_guesses(context)[0], "epochs": epochs}
    candidate = Candidate(backbone="pocket", strategy="partial", parameters=parameters, size_px=32)
    return RunTrial(number=0, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0, **more)  # type: ignore[arg-type]
