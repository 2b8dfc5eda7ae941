"""Worker processes on this machine, on which trials run at the same time: the local `TrialExecutor`.

In: orders (`RunTrial`). Out: the end of each, one at a time, a dead worker's order included. With one slot an order has ended
before the next is given. Does NOT cover: what to run (`tuning`), what an order means (`worker_main`).
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
    """One local worker and the order that it works on."""

    worker: Worker
    order: RunTrial | None = None
    deadline: float | None = None  # a time.monotonic()
    failed: AdviseError | None = None  # why the order could not even be handed over


class WorkerPool:
    """Local workers, one order each. The first one also does what is no trial, while it has no order."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.slots = [WorkerSlot(worker) for worker in workers]

    @property
    def first(self) -> Worker:
        """The worker that probes, refits and scores."""
        return self.slots[0].worker

    @property
    def idle(self) -> Worker | None:
        """A worker without an order, None where all have one."""
        return next((slot.worker for slot in self.slots if slot.order is None), None)

    @property
    def free(self) -> bool:
        """True if another order would be taken now."""
        return self.idle is not None

    @property
    def busy(self) -> bool:
        """True if an order is under way."""
        return any(slot.order is not None for slot in self.slots)

    @property
    def running(self) -> list[RunTrial]:
        """The orders that are under way."""
        return [slot.order for slot in self.slots if slot.order is not None]

    def open(self, job: OpenDataset, on_progress: OnProgress | None = None) -> DatasetOpened:
        """Open a data set: on the first worker now, which fills the caches, on the others when they first start."""
        opened = self.first.open(job, on_progress)
        for slot in self.slots[1:]:
            slot.worker.opened = job
        return opened

    def submit(self, order: RunTrial) -> None:
        """Send an order to an idle worker; what goes wrong is an end that `poll` returns."""
        slot = next(slot for slot in self.slots if slot.order is None)
        slot.order, slot.failed = order, None
        limit_s = order.limit_s
        slot.deadline = None if limit_s is None else time.monotonic() + job_limit.ended_after_s(limit_s)
        try:
            slot.worker.post(order)
        except AdviseError as error:
            slot.failed = error

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Return an order that ended; None where none did within about `wait_s`."""
        busy = [slot for slot in self.slots if slot.order is not None]
        pipes = {slot.worker.connection: slot for slot in busy if slot.failed is None and slot.worker.connection}
        ready = set(connection.wait(list(pipes), timeout=0.0 if len(pipes) < len(busy) else wait_s))
        for slot in busy:
            reply = self._answer(slot, slot.worker.connection in ready, on_progress)
            if reply is not None:
                assert slot.order is not None
                ended = Ended(order=slot.order, outcome=reply)
                slot.order = None
                return ended
        return None

    def _answer(self, slot: WorkerSlot, ready: bool, on_progress: OnProgress) -> Trial | AdviseError | None:
        """Check one slot: its order's end, or None while it goes on."""
        if slot.failed is not None:
            return slot.failed
        try:
            message = slot.worker.hear(0.0) if ready else None
        except AdviseError as error:  # WorkerLostError among them: the next order starts the process anew
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
        """End an order at once, without an end for it; its worker is started anew for the next one."""
        for slot in self.slots:
            if slot.order is not None and slot.order.number == number:
                slot.worker.stop()
                slot.order = None

    def close(self) -> None:
        """End all workers at once."""
        for slot in self.slots:
            slot.worker.stop()
            slot.order = None
