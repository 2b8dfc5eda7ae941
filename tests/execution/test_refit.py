"""A model that is the mean of the folds' weights is trained again as the trial trained it."""

from __future__ import annotations

from pathlib import Path

from opened import resources_of
from photos import write_crops

from advisor.data import dataset
from advisor.execution import refit, trial
from advisor.records import Candidate
from advisor.records.messages import Refit, Refitted, RunTrial
from advisor.runtime.run_dir import MIXED, RunDir


def test_folds_that_differ_in_their_steps_are_each_trained_for_their_own(tmp_path: Path) -> None:
    """One image more can be one more batch per epoch: a rerun to the bit plans every fold from its own rows."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=7, side_px=32), test_split="none")
    run_dir = tmp_path / "run"
    (run_dir / "trials").mkdir(parents=True)
    resources = resources_of(data, run_dir)
    parts = [rows for rows, _ in resources.folds()]
    parameters = {"epochs": 2.0, "batch": min(map(len, parts))}
    candidate = Candidate(backbone="pocket", strategy="full", parameters=parameters, size_px=32)
    assert len({resources.plan(candidate, rows).steps for rows in parts}) == 2
    job = RunTrial(number=0, candidate=candidate, folds=(0, 1, 2), repeat=0, seed=0, started_s=0.0)
    assert trial.run(resources, job, lambda progress: None).state == "complete"
    mean = RunDir(run_dir / "trials" / "00000" / MIXED).read("refitted.json", Refitted)
    assert mean is not None
    again = refit.refit(
        resources,
        Refit(candidate=candidate, seed=0, to=str(tmp_path / "again"), temperature=1.0, folds=(0, 1, 2)),
        lambda progress: None,
    )
    assert (again.weights_sha256, again.plan.steps) == (mean.weights_sha256, mean.plan.steps)
