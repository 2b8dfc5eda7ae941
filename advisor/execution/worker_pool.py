"""The crew: seats on which trials run at the same time, and the order in which they end.

In: orders (`RunTrial`). Out: what came of each, one at a time, a dead worker's order included. With one seat an order is
answered before the next is given. Does NOT cover: what to run (proposals.py), what a job means (worker.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection

from advisor.errors import AdviseError, OutOfTimeError
from advisor.execution.worker import Worker
from advisor.records import Trial
from advisor.records.messages import DatasetOpened, OpenDataset, Progress, RunTrial

GRACE_S = 5.0  # over an order's limit, before its worker is killed
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """An order that ended: with a trial, or with the reason why there is none."""

    order: RunTrial
    answer: Trial | AdviseError


@dataclass
class WorkerSlot:
    """One local worker and the order that it works on."""

    worker: Worker
    order: RunTrial | None = None
    deadline: float | None = None  # a time.monotonic()
    failed: AdviseError | None = None  # why the order could not even be handed over


class WorkerPool:
    """Local workers, one order each. The first one also does what is not a trial, while it has no order."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.seats = [WorkerSlot(worker) for worker in workers]

    @property
    def first(self) -> Worker:
        """The worker that probes, refits and scores."""
        return self.seats[0].worker

    @property
    def idle(self) -> Worker | None:
        """A worker without an order, None where all have one."""
        return next((seat.worker for seat in self.seats if seat.order is None), None)

    @property
    def free(self) -> bool:
        """Whether another order would be taken at once."""
        return self.idle is not None

    @property
    def waiting(self) -> bool:
        """Whether workers may still come: never here."""
        return False

    @property
    def busy(self) -> bool:
        """Whether an order is under way."""
        return any(seat.order is not None for seat in self.seats)

    @property
    def running(self) -> list[RunTrial]:
        """The orders that are under way."""
        return [seat.order for seat in self.seats if seat.order is not None]

    def open(self, job: OpenDataset, on_progress: OnProgress | None = None) -> DatasetOpened:
        """Open a data set: on the first worker now, which fills the caches, on the others when they first start."""
        answer = self.first.open(job, on_progress)
        for seat in self.seats[1:]:
            seat.worker.opened = job
        return answer

    def submit(self, order: RunTrial) -> None:
        """Hand an order to an idle worker; whatever goes wrong is told by `poll`."""
        seat = next(seat for seat in self.seats if seat.order is None)
        seat.order, seat.failed = order, None
        seat.deadline = None if order.limit_s is None else time.monotonic() + order.limit_s + GRACE_S
        try:
            seat.worker.post(order)
        except AdviseError as error:
            seat.failed = error

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Give an order that ended; None where none did within about `wait_s`."""
        busy = [seat for seat in self.seats if seat.order is not None]
        pipes = {seat.worker.connection: seat for seat in busy if seat.failed is None and seat.worker.connection}
        ready = set(connection.wait(list(pipes), timeout=0.0 if len(pipes) < len(busy) else wait_s))
        for seat in busy:
            answer = self._answer(seat, seat.worker.connection in ready, on_progress)
            if answer is not None:
                assert seat.order is not None
                ended = Ended(order=seat.order, answer=answer)
                seat.order = None
                return ended
        return None

    def _answer(self, seat: WorkerSlot, ready: bool, on_progress: OnProgress) -> Trial | AdviseError | None:
        """Look at one seat: its order's end, or None while it goes on."""
        if seat.failed is not None:
            return seat.failed
        try:
            message = seat.worker.hear(0.0) if ready else None
        except AdviseError as error:  # WorkerLostError among them: the next order starts the process anew
            return error
        if isinstance(message, Trial):
            return message
        if isinstance(message, Progress):
            on_progress(message)
        elif message is not None:
            return AdviseError(f"the worker answered {type(message).__name__}, expected Trial")
        elif seat.deadline is not None and time.monotonic() >= seat.deadline:
            seat.worker.stop()
            return OutOfTimeError("the time for this job is over")
        return None

    def stop(self) -> None:
        """End all workers at once."""
        for seat in self.seats:
            seat.worker.stop()
