"""Several workers run trials at the same time; none is lost and none is answered twice, whoever dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opened import job_of
from photos import write_crops

from advisor.data import dataset
from advisor.errors import OutOfTimeError, WorkerLostError
from advisor.execution import job_limit, timing
from advisor.execution.worker import Worker
from advisor.execution.worker_pool import Ended, WorkerPool
from advisor.records import Candidate, Trial
from advisor.records.messages import Progress, RunTrial


def quiet(progress: Progress) -> None:
    """Hear nothing."""


def trial_job(number: int, *, long: bool = False, limit_s: float | None = None) -> RunTrial:
    """Fit a head on frozen features, or train for hours."""
    name, parameters = ("full", {"epochs": 1e6, "batch": 8}) if long else ("ridge", {})
    candidate = Candidate(backbone="pocket", strategy=name, parameters=parameters, size_px=32)
    return RunTrial(number=number, candidate=candidate, folds=(0,), repeat=0, seed=0, started_s=0.0, limit_s=limit_s)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    """Two workers on a small data set, the second not yet started."""
    tmp_path = tmp_path_factory.mktemp("pool")
    root = write_crops(tmp_path / "crops", each=5)
    (tmp_path / "run" / "trials").mkdir(parents=True)
    data = dataset.read(str(root), test_split="none")
    made = WorkerPool([Worker(), Worker()])
    job = job_of(data, tmp_path / "run", folds=5, threads=None, workers=2)
    made.open(job)
    yield made
    made.close()


def heard(pool: WorkerPool, count: int) -> list[Ended]:
    """Wait for so many ends."""
    ended: list[Ended] = []
    until = time.monotonic() + 120
    while len(ended) < count and time.monotonic() < until:
        end = pool.poll(quiet)
        ended += [end] if end is not None else []
    return ended


def test_every_order_ends_once_under_its_own_number(pool: WorkerPool) -> None:
    """Five jobs on two seats: five trials, both seats used, nothing left over."""
    ended: list[Ended] = []
    for number in range(5):
        if pool.idle is None:
            ended += heard(pool, 1)
        pool.submit(trial_job(number))
    ended += heard(pool, 5 - len(ended))
    assert sorted(e.job.number for e in ended) == list(range(5))
    for end in ended:
        assert isinstance(end.outcome, Trial)
        assert end.outcome.number == end.job.number
    assert pool.poll(quiet, wait_s=0.0) is None
    assert pool.slots[1].worker.process is not None


def test_a_worker_that_dies_costs_its_own_order_only(pool: WorkerPool) -> None:
    """The other job ends well, and the seat of the dead one takes the next job."""
    pool.submit(trial_job(0, long=True))
    pool.submit(trial_job(1))
    assert pool.idle is None
    process = pool.slots[0].worker.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    answers = {e.job.number: e.outcome for e in heard(pool, 2)}
    assert isinstance(answers[0], WorkerLostError)
    assert isinstance(answers[1], Trial)
    assert answers[1].state == "complete"
    pool.submit(trial_job(2))  # on the first seat, which opens the data set anew
    again = heard(pool, 1)[0].outcome
    assert isinstance(again, Trial)
    assert again.state == "complete"


def test_an_order_over_its_limit_ends_though_its_worker_does_not_answer(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that hangs is killed a little after the limit."""
    monkeypatch.setattr("advisor.execution.job_limit.GRACE_S", 0.5)
    pool.submit(trial_job(0, long=True, limit_s=0.5))
    process = pool.slots[0].worker.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    assert isinstance(heard(pool, 1)[0].outcome, OutOfTimeError)
    assert pool.idle is not None


@pytest.mark.parametrize("limit_s", [1.0, 60.0, 180.0, 3600.0])
def test_a_worker_gives_an_order_up_before_it_is_ended(pool: WorkerPool, limit_s: float) -> None:
    """Ended from outside, a training loses the folds that it has finished; trials of over a minute were, 5 s too late."""
    given_up = timing.Deadline.of(limit_s, time.monotonic())
    pool.submit(trial_job(0, long=True, limit_s=limit_s))
    ended = pool.slots[0].deadline
    pool.cancel(0)
    assert given_up is not None
    assert ended is not None
    assert ended > given_up.until + 0.5 * job_limit.GRACE_S


@given(rest_s=st.floats(10.0, 1e5))
def test_an_order_that_begins_again_keeps_its_end(rest_s: float) -> None:
    """The limit of a job that begins again on another actor is the one that is ended when the first one was."""
    assert job_limit.ended_after_s(job_limit.limit_within_s(rest_s)) == pytest.approx(rest_s)
