"""The worker process: what it was asked for comes back, and it is started anew when something ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from opened import job_of
from photos import write_crops

from advisor.data import dataset
from advisor.errors import WorkerLostError
from advisor.execution.worker import Worker
from advisor.records import Candidate, Trial
from advisor.records.messages import DatasetOpened, Describe, Description, RunTrial
from advisor.runtime import cache


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker that is gone when the test is over."""
    one = Worker()
    yield one
    one.stop()


def test_a_cut_cache_file_costs_one_job_and_not_the_run(worker: Worker, tmp_path: Path) -> None:
    """Whoever cuts a mapped file kills the process that reads it: the next job finds a new process, which decodes anew."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=6, side_px=32), test_split="none")
    (tmp_path / "run" / "trials").mkdir(parents=True)
    job = job_of(data, tmp_path / "run")
    worker.ask(job, DatasetOpened)
    worker.opened = job
    assert worker.ask(Describe(backbone="pocket"), Description).dim > 0
    candidate = Candidate(backbone="pocket", strategy="partial", parameters={"epochs": 1.0}, size_px=32)
    order = RunTrial(number=0, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0)
    first = worker.ask(order, Trial)
    assert first.state == "complete", first.error
    for entry in cache.Store().entries():
        os.truncate(entry.path, 0)
    with pytest.raises(WorkerLostError, match="signal 7"):  # SIGBUS
        worker.ask(order, Trial)
    again = worker.ask(order, Trial)
    assert (again.state, again.log_loss) == ("complete", first.log_loss)


def test_a_file_in_the_working_directory_hides_no_module(
    real_start: None, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker started beside a file that is called like a module of the standard library opens its data all the same."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=6, side_px=32), test_split="none")
    (tmp_path / "run" / "trials").mkdir(parents=True)
    (tmp_path / "numbers.py").write_text("raise RuntimeError('not the standard library')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    job = job_of(data, tmp_path / "run", threads=None)
    assert worker.open(job, lambda progress: None).environment.device == "cpu"
