"""The fleet: the crew of this machine and the workers on others, as seats of one search.

In: orders. Out: what came of each, one at a time. A trial elsewhere belongs to its worker by a lease that the worker
renews; where it runs out, the trial is given up and may be begun again. Waiting trials that nobody takes run here.
Does NOT cover: what stands in the database (shared_study.py), the workers' side (recruit.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from advisor.errors import AdviseError, OutOfTimeError, WorkerLostError
from advisor.execution.worker_pool import GRACE_S, Ended, OnProgress, WorkerPool
from advisor.records import Trial
from advisor.records.messages import RunTrial
from advisor.tuning.distributed.shared_study import SharedStudy

LOOK_S = 0.25  # between two looks at the trials elsewhere
AHEAD = 4  # one waiting trial for so many workers, so that none waits for the coordinator


class Fleet:
    """Seats here and elsewhere. `local` says whether this machine trains as well."""

    def __init__(
        self,
        crew: WorkerPool,
        study: SharedStudy,
        run_dir: Path,
        *,
        local: bool,
        note: Callable[[str], None],
        invite: Callable[[dict[str, str]], None],
    ) -> None:
        self.crew = crew
        self.study = study
        self.run_dir = run_dir
        self.local = local
        self.note = note
        self.invite = invite  # to be called with the weights' hashes by backbone, once they are known
        self.elsewhere: dict[int, RunTrial] = {}
        self._ready: deque[Ended] = deque()  # what has ended and was not given yet
        self._deadlines: dict[int, float] = {}
        self._unheld: dict[int, float] = {}  # when a running trial was first seen without a lease
        self._live = 0
        self._looked = self._counted = float("-inf")
        self._told_to_wait = False

    @property
    def free(self) -> bool:
        """Whether another order would be taken at once, here or elsewhere."""
        self._beat()
        here = self.local and self.crew.idle is not None
        return here or len(self.elsewhere) < self._live + -(-self._live // AHEAD)

    @property
    def busy(self) -> bool:
        """Whether an order is under way or waiting."""
        return self.crew.busy or bool(self.elsewhere) or bool(self._ready)

    @property
    def waiting(self) -> bool:
        """Whether workers may still come: nobody trains here."""
        if not self.local and not self._live and not self._told_to_wait:
            self._told_to_wait = True
            place = f"--storage {self.study.database.place} --study {self.study.name}"
            self.note(f"waiting for workers: `tl-advise worker {place} --data DATASET` on any machine")
        return not self.local

    @property
    def running(self) -> list[RunTrial]:
        """The orders that are under way."""
        return [*self.crew.running, *self.elsewhere.values()]

    def adopt(self, interrupted: list[int]) -> set[int]:
        """Take over what an earlier coordinator handed out and is still waiting or under way elsewhere."""
        orders = self.study.handed_out()
        states = self.study.look(n for n in interrupted if n in orders)
        held, _ = self.study.database.held(self.study.id)
        for number, state in states.items():
            if state == "waiting" or isinstance(state, Trial) or f"trial:{number}" in held:
                self._expect(orders[number])
            if state == "waiting":
                self.study.wait_for_anybody(number)
        return set(self.elsewhere)

    def submit(self, order: RunTrial) -> None:
        """Run an order here where a seat is free, else let a worker elsewhere take it."""
        if self.local and self.crew.idle is not None:
            self.crew.submit(order)
        else:
            self.study.hand_out(order)
            self._expect(order)

    def _expect(self, order: RunTrial) -> None:
        self.elsewhere[order.number] = order
        if order.limit_s is not None:
            self._deadlines[order.number] = time.monotonic() + order.limit_s + 2 * GRACE_S

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Give an order that ended, here or elsewhere; None where none did."""
        self._beat()
        if not self.crew.busy:
            time.sleep(min(wait_s, 0.05))
        ended = self.crew.poll(on_progress, wait_s=wait_s) if self.crew.busy else None
        if ended is None and not self._ready and time.monotonic() - self._looked >= LOOK_S:
            self._look()
            self._looked = time.monotonic()
        return ended or (self._ready.popleft() if self._ready else None)

    def _look(self) -> None:
        """See what has ended elsewhere, what is lost, and what nobody has taken while a seat is free here."""
        states = self.study.look(self.elsewhere)
        held, over = self.study.database.held(self.study.id) if self.elsewhere else ({}, {})
        for number, state in states.items():
            if state == "waiting" and f"trial:{number}" in over:  # its worker died with one foot in the door
                self.study.wait_for_anybody(number)
            if isinstance(state, Trial):
                self._ready.append(self._arrived(number, state))
            elif self.local and state == "waiting" and self.crew.idle is not None and self.study.take_back(number):
                self.crew.submit(self._forget(number))
            elif (error := self._why_lost(number, state, held, over)) is not None:
                self._ready.append(Ended(order=self._forget(number), answer=error))

    def _forget(self, number: int) -> RunTrial:
        self._deadlines.pop(number, None)
        self._unheld.pop(number, None)
        return self.elsewhere.pop(number)

    def _arrived(self, number: int, trial: Trial) -> Ended:
        payload = self.study.database.logits(self.study.id, number) if trial.predictions else None
        if payload is not None:
            place = self.run_dir / trial.predictions
            temporary = place.with_suffix(".tmp.npz")
            temporary.write_bytes(payload)
            temporary.replace(place)
        return Ended(order=self._forget(number), answer=trial)

    def _why_lost(
        self, number: int, state: str | Trial, held: dict[str, str], over: dict[str, str]
    ) -> AdviseError | None:
        """Say why a trial elsewhere is given up; None while there is no reason."""
        if time.monotonic() > self._deadlines.get(number, float("inf")):
            return OutOfTimeError("no worker ended it in time")
        name = f"trial:{number}"
        if state == "waiting" or name in held:
            self._unheld.pop(number, None)
            return None
        # A lease is let go only behind the trial's end; one that is missing has the time of a lease to be explained.
        since = self._unheld.setdefault(number, time.monotonic())
        if name in over or time.monotonic() - since > self.study.lease_s:
            self.study.give_up(number)
            self.study.database.release(self.study.id, over.get(name, ""), name)
            return WorkerLostError(f"its worker {over.get(name, '')} was not heard of for {self.study.lease_s:.0f} s.")
        return None

    def _beat(self) -> None:
        """Count the workers that are there, once a second."""
        now = time.monotonic()
        if now - self._counted < 1.0:
            return
        self._counted = now
        held, _ = self.study.database.held(self.study.id)
        live = sum(name.startswith("worker:") for name in held)
        if live != self._live:
            self.note(f"{live} worker{'s' if live != 1 else ''} elsewhere")
        self._live = live
