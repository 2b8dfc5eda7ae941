"""Worker processes on this machine that run trials in parallel: the local `TrialExecutor`.

In: jobs (`RunTrial`). Out: the outcome of each, also where its worker died. With one slot, a job ends before the next one
starts. Does NOT cover: what to run (`tuning`), what a job means (`worker_main`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection

from advisor.errors import AdviseError, OutOfTimeError
from advisor.execution import job_limit
from advisor.execution.executor import Ended
from advisor.execution.worker import Worker
from advisor.records import Trial
from advisor.records.messages import DatasetOpened, OnProgress, OpenDataset, Progress, RunTrial


@dataclass
class WorkerSlot:
    """One local worker and the job that it works on."""

    worker: Worker
    job: RunTrial | None = None
    deadline: float | None = None  # a time.monotonic()
    failed: AdviseError | None = None  # why the job could not be sent


class WorkerPool:
    """Local workers, one job each. The first one, when idle, also runs probes, refits and test scoring."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.slots = [WorkerSlot(worker) for worker in workers]

    @property
    def first(self) -> Worker:
        """The worker that probes, refits and scores."""
        return self.slots[0].worker

    @property
    def idle(self) -> Worker | None:
        """A worker without a job, or None."""
        return next((slot.worker for slot in self.slots if slot.job is None), None)

    @property
    def free(self) -> bool:
        """True if another job can be submitted now."""
        return self.idle is not None

    @property
    def busy(self) -> bool:
        """True if a job is running."""
        return any(slot.job is not None for slot in self.slots)

    @property
    def running(self) -> list[RunTrial]:
        """The running jobs."""
        return [slot.job for slot in self.slots if slot.job is not None]

    def open(self, job: OpenDataset, on_progress: OnProgress | None = None) -> DatasetOpened:
        """Open a data set: on the first worker now, which fills the caches, on the others when they first start."""
        opened = self.first.open(job, on_progress)
        for slot in self.slots[1:]:
            slot.worker.opened = job
        return opened

    def submit(self, job: RunTrial) -> None:
        """Send a job to an idle worker; errors are outcomes that `poll` returns."""
        slot = next(slot for slot in self.slots if slot.job is None)
        slot.job, slot.failed = job, None
        limit_s = job.limit_s
        slot.deadline = None if limit_s is None else time.monotonic() + job_limit.ended_after_s(limit_s)
        try:
            slot.worker.post(job)
        except AdviseError as error:
            slot.failed = error

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Return a job that ended, or None if none did within about `wait_s`."""
        busy = [slot for slot in self.slots if slot.job is not None]
        pipes = {slot.worker.connection: slot for slot in busy if slot.failed is None and slot.worker.connection}
        ready = set(connection.wait(list(pipes), timeout=0.0 if len(pipes) < len(busy) else wait_s))
        for slot in busy:
            reply = self._answer(slot, slot.worker.connection in ready, on_progress)
            if reply is not None:
                assert slot.job is not None
                ended = Ended(job=slot.job, outcome=reply)
                slot.job = None
                return ended
        return None

    def _answer(self, slot: WorkerSlot, ready: bool, on_progress: OnProgress) -> Trial | AdviseError | None:
        """Check one slot: return the outcome of its job, or None while it runs."""
        if slot.failed is not None:
            return slot.failed
        try:
            message = slot.worker.hear(0.0) if ready else None
        except AdviseError as error:  # WorkerLostError among them: the next job restarts the process
            return error
        if isinstance(message, Trial):
            return message
        if isinstance(message, Progress):
            on_progress(message)
        elif message is not None:
            return AdviseError(f"the worker answered {type(message).__name__}, expected Trial")
        elif slot.deadline is not None and time.monotonic() >= slot.deadline:
            slot.worker.stop()
            return OutOfTimeError("the time for this job is over")
        return None

    def cancel(self, number: int) -> None:
        """Stop a job at once; its worker process is restarted for the next one."""
        for slot in self.slots:
            if slot.job is not None and slot.job.number == number:
                slot.worker.stop()
                slot.job = None

    def close(self) -> None:
        """Stop all workers at once."""
        for slot in self.slots:
            slot.worker.stop()
            slot.job = None
