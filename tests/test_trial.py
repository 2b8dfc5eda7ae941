"""One trial at a time: what it leaves on disk, and that its record survives the study."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from photos import write_crops

from advisor import dataset, refit, registry, trial
from advisor.material import Material
from advisor.records import Candidate, Trial
from advisor.records.jobs import Open, Refit, RunTrial


@pytest.fixture
def material(tmp_path: Path) -> Material:
    """Twelve crops in two classes, opened as a worker does."""
    found = dataset.read(write_crops(tmp_path / "crops", classes=2, each=6, side_px=32), test_split="none")
    (tmp_path / "run" / "trials").mkdir(parents=True)
    job = Open(
        root=found.root,
        classes=found.classes,
        items=found.items,
        folds=3,
        seed=0,
        device="cpu",
        run_dir=str(tmp_path / "run"),
        offline=True,
        threads=1,
    )
    return Material(job, registry.load(), lambda what, done, total: None)


def order(material: Material, epochs: float, **more: object) -> RunTrial:
    """Ask for a partial fine-tuning of the built-in backbone."""
    strategy = material.registry.strategy("partial")
    backbone = material.registry.backbone("pocket")
    context = material.context(backbone, material.folds()[0][0], 32)
    parameters = {**strategy.first_guesses(context)[0], "epochs": epochs}
    candidate = Candidate(backbone="pocket", strategy="partial", parameters=parameters, size_px=32)
    return RunTrial(number=0, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0, **more)  # type: ignore[arg-type]


def test_a_training_of_one_step_can_be_written_down_and_read_back(material: Material) -> None:
    """Between its rungs it takes no step and has no loss; JSON knows no nan, and an unreadable record ends a search."""
    done = trial.run(material, order(material, 1), lambda progress: None)
    assert (done.state, done.steps) == ("complete", 1)
    assert msgspec.json.decode(msgspec.json.encode(done), type=Trial) == done


def test_what_a_refit_answers_can_be_sent(material: Material, tmp_path: Path) -> None:
    """The answer holds the plan of a training, and crosses a pipe between two processes."""
    candidate = order(material, 1).candidate
    job = Refit(candidate=candidate, seed=0, to=str(tmp_path / "model"), temperature=1.0)
    answer = refit.refit(material, job, lambda progress: None)
    assert answer.plan.phases
    assert pickle.loads(pickle.dumps(answer)) == answer


def test_a_paused_trial_that_is_promoted_ends_like_one_that_was_never_paused(material: Material) -> None:
    """Promotion goes on from the checkpoint; where that is missing it trains again, to the same result."""
    trials = Path(material.job.run_dir) / "trials"
    whole = trial.run(material, order(material, 6), lambda progress: None)
    stopped = trial.run(material, replace(order(material, 6, stop_above={66: -1.0}), number=1), lambda progress: None)
    assert stopped.state == "pruned"
    assert (trials / "00001.ckpt").is_file()
    for number in (2, 3):  # the second time the checkpoint is gone
        job = order(material, 6)
        job = replace(job, number=number, candidate=replace(job.candidate, continues=1))
        promoted = trial.run(material, job, lambda progress: None)
        assert (promoted.scores, promoted.curve) == (whole.scores, whole.curve)
        assert promoted.continues == 1
        assert not list(trials.glob("*.ckpt"))


def test_short_trainings_are_scored_at_their_end_alone(material: Material) -> None:
    """Looks on the way cost less than a tenth of the training, counted in passes: none where it is short."""
    for epochs, looks in ((1.0, 1), (40.0, 3)):
        candidate = Candidate(backbone="pocket", strategy="full", parameters={"epochs": epochs, "batch": 8}, size_px=32)
        job = RunTrial(number=90 + looks, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)
        done = trial.attempt(material, job, lambda progress: None)
        assert done.state == "complete", done.error
        assert len(done.curve.log_loss) == looks
        spent = sum(s.n for s in done.scores) * (looks - 1)
        assert spent <= 0.1 * 3 * done.steps * 8
