"""A trial and a refit on two processes give what one gives, and a process that dies costs one trial."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from opened import job_of
from photos import write_crops

from advisor import registry
from advisor.data import dataset
from advisor.errors import InputError
from advisor.execution import refit, trainer, trial
from advisor.execution.resources import Resources
from advisor.execution.worker import Worker
from advisor.records import Candidate, Trial
from advisor.records.messages import OpenDataset, Progress, Refit, Refitted, RunTrial
from advisor.runtime import device

# A batch of 7 gives one process 4 images and the other 3; the built-in network has BatchNorm in every stage.
GUESS = {"epochs": 4.0, "batch": 7, "optimizer": "sgd", "sgd_rate": 1e-3, "norm": "trained", "augmentation": "flip"}


@pytest.fixture(name="job")
def _job(tmp_path: Path) -> OpenDataset:
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=8, side_px=32), test_split="none")
    (tmp_path / "run" / "trials").mkdir(parents=True)
    return job_of(data, tmp_path / "run")


def order(resources: Resources, number: int, **more: Any) -> RunTrial:
    """Ask for a full fine-tuning of the built-in backbone."""
    context = resources.context(resources.registry.backbone("pocket"), resources.folds()[0][0], 32)
    first = resources.registry.strategy("full").first_guesses(context)[0]
    candidate = Candidate(backbone="pocket", strategy="full", parameters={**first, **GUESS, **more}, size_px=32)
    return RunTrial(number=number, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)


def end_one(worker: Worker) -> None:
    """Kill the process of the second device, from outside, as a system out of memory would."""
    assert worker.process is not None
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            is_rank = parent == worker.process.pid and b"\0RANK=1\0" in b"\0" + (entry / "environ").read_bytes()
        except (OSError, ValueError):
            continue  # it ended while we looked
        if is_rank:
            os.kill(int(entry.name), signal.SIGKILL)


def rounding_moves(resources: Resources, logits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> float:
    """Measure by how much one process's own logits move when every weight is off by one rounding before the first step.

    Two processes add the same gradients in another order, which is off by about one rounding as well. Where an activation
    lies within a rounding of ReLU's kink, a step goes another way, and the logits of seven images move by 0.002 to 0.005
    instead of 0.000003: half of the draws show which of the two a machine's arithmetic meets.
    """
    low = device.choose("cpu", resources.registry.backbone("pocket")).precision == "bfloat16"
    unit, set_up, moves = 2.0**-8 if low else 2.0**-23, trainer.train_loop, []
    for draw in range(6):
        signs = torch.Generator().manual_seed(draw)

        def rounded(resources: Resources, candidate: Candidate, plan: Any, classifier: Any, *more: Any) -> Any:
            with torch.no_grad():
                for weight in classifier.body.parameters():
                    weight.mul_(1 + unit * torch.sign(torch.randn(weight.shape, generator=signs)))  # noqa: B023
            return set_up(resources, candidate, plan, classifier, *more)

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "train_loop", rounded)
            moved = trial.run(resources, order(resources, 10 + draw), lambda progress: None)
        assert moved.state == "complete", moved.error
        moves.append(np.abs(np.load(Path(resources.job.run_dir) / moved.predictions)["logits"] - logits).max())
    return float(max(moves))


@pytest.mark.timeout(900)  # six processes import torch; on a machine of one's own it takes half a minute
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the processes are found in /proc")
def test_two_processes_do_what_one_does_and_may_die(
    job: OpenDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trial and refit agree with one process; one that is killed is a failed trial with its reason; the next one runs."""
    here = Resources(job, registry.load(), lambda what, done, total: None)
    one = trial.run(here, order(here, 0), lambda progress: None)
    short = order(here, 0)
    wish = Refit(candidate=short.candidate, seed=0, to=str(tmp_path / "one"), temperature=1.0)
    refit.refit(here, wish, lambda progress: None)
    worker = Worker(log=str(tmp_path / "worker.log"))
    try:
        worker.open(replace(job, devices=2))
        reports: list[Progress] = []

        def heard(progress: Progress) -> None:
            reports.append(progress)
            end_one(worker)

        long = order(here, 1, epochs=4000.0)
        dead = worker.ask(long, Trial, heard)
        two = worker.ask(replace(short, number=2), Trial)
        refitted = worker.ask(replace(wish, to=str(tmp_path / "two")), Refitted)
    finally:
        worker.stop()
    assert dead.state == "failed"
    assert "device 1 was killed by signal 9" in dead.error
    assert reports
    assert two.state == "complete", two.error
    logits = [np.load(Path(job.run_dir) / t.predictions)["logits"] for t in (one, two)]
    loose = 2 * rounding_moves(here, logits[0], monkeypatch) + 1e-5
    np.testing.assert_allclose(logits[1], logits[0], atol=loose)
    assert two.curve.train_loss == pytest.approx(one.curve.train_loss, abs=loose)
    assert (two.steps, two.epochs) == (one.steps, one.epochs)
    assert refitted.compute == here.compute(here.registry.backbone("pocket"))
    first, second = (safetensors.numpy.load_file(tmp_path / n / "model.safetensors") for n in ("one", "two"))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=0.02, atol=0.05, err_msg=name)


def test_a_gpu_that_was_named_is_not_several() -> None:
    """--device cuda:1 --devices 2 contradicts itself; on a CPU any number of processes may share the cores."""
    device.check_together("cpu", 8)
    with pytest.raises(InputError, match="cuda"):
        device.check_together("cuda:1", 2)
