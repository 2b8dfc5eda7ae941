"""What the folds of a trial leave behind: the first model, and the mean of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import searches
import torch

from advisor.execution import fold_averaging
from advisor.models import model_files
from advisor.records import Candidate, TrainPlan, Trial
from advisor.records.messages import Refit, Refitted, RunTrial
from advisor.records.plan import Phase, Term
from advisor.selection import final_models, incumbent
from advisor.tuning.search_run import SearchRun

TRAINED = Candidate(backbone="pocket", strategy="full", parameters={"epochs": 1.0}, size_px=64)
PHASES = (Phase(rates={"stem": 1e-3}, head_rate=1e-3),)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRun]:
    """A search on real crops with one worker."""
    with searches.on_crops(tmp_path_factory.mktemp("folds")) as run:
        yield run


@pytest.fixture(scope="module")
def trained(run: SearchRun) -> Trial:
    """A trial that was scored on three folds."""
    job = RunTrial(number=0, candidate=TRAINED, folds=(0, 2, 3), repeat=0, seed=0, started_s=0.0)
    trial = run.worker.ask(job, Trial)
    assert trial.state == "complete", trial.error
    return trial


def test_the_mean_is_that_of_every_tensor() -> None:
    """Fractions are averaged in double precision, whole numbers (batches tracked) stay the first one's."""
    states = [
        {"w": torch.tensor([1.0, -2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([2.0, 4.0]), "n": torch.tensor(9)},
    ]
    mean = fold_averaging.mean(states)
    np.testing.assert_array_equal(mean["w"].numpy(), np.mean([[1.0, -2.0], [2.0, 4.0]], axis=0))
    assert (mean["w"].dtype, int(mean["n"])) == (torch.float32, 3)


@pytest.mark.parametrize(
    "plan",
    [
        TrainPlan(),
        TrainPlan(phases=PHASES, from_scratch=True),
        TrainPlan(phases=PHASES, norm="trained"),
        TrainPlan(phases=PHASES, finish=Term(function="m:f", fitted=("alpha",))),
    ],
    ids=["a head", "from scratch", "batch statistics", "a number of each fold's own"],
)
def test_what_has_no_common_ground_is_not_averaged(plan: TrainPlan) -> None:
    """Only trainings from the same pretrained weights, with the same statistics, lie in one valley."""
    assert not fold_averaging.mixable(plan)
    assert fold_averaging.mixable(TrainPlan(phases=PHASES))


def test_the_mean_of_the_folds_is_what_is_left_behind(run: SearchRun, trained: Trial) -> None:
    """The mean stands beside the first fold's model, the members are gone, and what was carried out names the folds."""
    folder = incumbent.fold_model_folder(run.rundir.path, trained)
    assert folder is not None
    assert incumbent.read_refitted(folder).folds == (0, 2, 3)
    assert (folder.parent / "model.safetensors").is_file()
    assert not (folder.parent / "members").exists()
    one, mean = (model_files.read_tensors(f / "model.safetensors") for f in (folder.parent, folder))
    assert any(not torch.equal(one[name], mean[name]) for name in one)


def test_training_the_folds_again_gives_the_mean_to_the_bit(run: SearchRun, trained: Trial) -> None:
    """That is what `rerun` does with a recipe whose model is a mean of folds."""
    fold_models = incumbent.fold_model_folder(run.rundir.path, trained)
    assert fold_models is not None
    job = Refit(candidate=TRAINED, seed=0, to=str(run.rundir.trials / "again"), temperature=1.0, folds=(0, 2, 3))
    again = run.worker.ask(job, Refitted)
    assert again.weights_sha256 == incumbent.read_refitted(fold_models).weights_sha256
    assert again.folds == (0, 2, 3)


def test_without_time_for_a_refit_the_mean_ships(run: SearchRun, trained: Trial) -> None:
    """The folds' seconds together are its time, and the warning says what it is."""
    from dataclasses import replace

    from advisor.runtime import clock

    late = replace(run, clock=clock.Clock(600.0, used_before_s=599.0))
    refitted = final_models.train(late, trained, run.rundir.trials / "late", reserve_s=1.0)
    assert refitted is not None
    assert refitted.folds == (0, 2, 3)
    assert "the mean of the weights of its 3 fold models" in refitted.warning
    assert refitted.seconds == pytest.approx(trained.seconds, abs=0.02)


def test_a_fold_that_is_gone_leaves_the_first_one_s_model(run: SearchRun) -> None:
    """A scored trial on one fold has no mean."""
    job = RunTrial(number=7, candidate=TRAINED, folds=(1,), repeat=0, seed=0, started_s=0.0)
    trial = run.worker.ask(job, Trial)
    folder = incumbent.fold_model_folder(run.rundir.path, trial)
    assert folder is not None
    assert incumbent.read_refitted(folder).folds == ()
    assert folder.name == "00007"


def test_folds_on_which_a_leader_is_scored_again_leave_nothing(run: SearchRun) -> None:
    """Their models would never ship."""
    job = RunTrial(number=8, candidate=TRAINED, folds=(0, 1), repeat=1, seed=1, started_s=0.0)
    assert run.worker.ask(job, Trial).state == "complete"
    assert not (run.rundir.trials / "00008-r1").exists()


def test_a_member_that_cannot_be_read_costs_the_mean_and_not_the_trial(
    tmp_path: Path,
) -> None:
    """A disk that was full for a moment: the first fold's model ships, as it would have without a second one."""
    with searches.on_crops(tmp_path) as other:
        folder = other.rundir.trials / "00009" / "members"
        folder.mkdir(parents=True)
        (folder / "1.safetensors").mkdir()  # nothing can be written over it, or read from it
        job = RunTrial(number=9, candidate=TRAINED, folds=(0, 1), repeat=0, seed=0, started_s=0.0)
        trial = other.worker.ask(job, Trial)
        assert trial.state == "complete", trial.error
        fold_models = incumbent.fold_model_folder(other.rundir.path, trial)
    assert fold_models is not None
    assert fold_models.name == "00009"
