"""Trials on a Ray cluster: the `TrialExecutor` whose slots are actors, one device each, on whatever nodes there are.

In: jobs. Out: the outcome of each. If an actor or node dies, its job is restarted elsewhere up to three times, and late
results are ignored. Does NOT cover: what an actor does (`actor`), connecting (`connect`).
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from advisor.aliases import Note
from advisor.errors import AdviseError, InputError, OutOfTimeError, WorkerLostError
from advisor.execution import job_limit
from advisor.execution.executor import Ended
from advisor.execution.ray_cluster import connect, environment
from advisor.execution.ray_cluster.actor import NODE, ShippedTrial, TrialActor, outcome
from advisor.execution.ray_cluster.shipping import Shipping
from advisor.records import Dataset, Settings
from advisor.records.messages import OnProgress, OpenDataset, RunTrial
from advisor.registry import Registry

FAILED_STARTS = 10  # of actors that die before the first one was ready
BEGUN_AGAIN = 3  # times that a job is restarted after its actor died
SCALE_S = 5.0  # between two questions for what the cluster offers
FIRST_NODE_S = 60.0  # without any node that can take an actor, before that is noted


@dataclass(frozen=True, kw_only=True)
class ClusterSlots:
    """How many actors there may be (None: as many as fit), and what each takes. `gpus` is 0 on a cluster without any."""

    most: int | None
    threads: float
    gpus: float


@dataclass
class _Slot:
    """An actor, the question that it is busy with, and its job; while it opens the data set it has none."""

    actor: Any
    question: Any = None
    job: RunTrial | None = None
    node: str = ""


def start(
    ray: Any,
    job: OpenDataset,
    data_set: Dataset,
    settings: Settings,
    registry: Registry,
    note: Note,
) -> RayExecutor:
    """Start actors on a connected cluster for one run. Raises InputError where it has no room for any."""
    offer = connect.offer(ray)
    if offer.cpus < 1:
        raise InputError(f"--ray {settings.ray}: the cluster offers no CPU.", hint="See `ray status`.")
    threads = settings.threads or min(connect.THREADS, offer.smallest_cpus)
    gpus = float(settings.devices) if offer.gpus and settings.device != "cpu" else 0.0
    slots = ClusterSlots(most=settings.ray_actors, threads=min(threads, offer.smallest_cpus), gpus=gpus)
    note(f"Ray: {offer.nodes} nodes, {offer.cpus:g} CPUs, {offer.gpus:g} GPUs; one trial takes {_takes(slots)}")
    return RayExecutor(ray, Shipping(ray, replace(job, threads=threads), data_set, settings, registry), slots, note)


def _takes(slots: ClusterSlots) -> str:
    return f"{slots.threads:g} CPUs" + (f" and {slots.gpus:g} GPUs" if slots.gpus else "")


class RayExecutor:
    """Actors on a cluster, one job each. `note` is called with what a user should know."""

    def __init__(
        self,
        ray: Any,
        shipping: Shipping,
        slots: ClusterSlots,
        note: Note,
        *,
        actor: type[Any] = TrialActor,
    ) -> None:
        self.ray = ray
        self.shipping = shipping
        self.limits = slots
        self.note = note
        self._slots: list[_Slot] = []
        self._waiting: deque[RunTrial] = deque()
        self._ready: deque[Ended] = deque()
        self._deadlines: dict[tuple[int, int], float] = {}
        self._deaths: dict[tuple[int, int], int] = {}
        self._opened = False  # an actor has passed the check of its environment
        self._refused = 0  # actors on nodes that differ
        self._failed_starts = 0
        self._room, self._asked_at = 1, float("-inf")
        self._began = time.monotonic()
        self._class = ray.remote(num_cpus=slots.threads, num_gpus=slots.gpus, max_restarts=0)(actor)
        self._grow()

    # ---- the protocol ----------------------------------------------------------------------------------------------

    @property
    def free(self) -> bool:
        """True if another job can be submitted: an actor is idle, or the cluster has room for one more."""
        self._grow()
        return len(self.running) < max(1, len(self._slots))

    @property
    def busy(self) -> bool:
        """True if a job is running, or has ended and was not polled yet."""
        return bool(self.running) or bool(self._ready)

    @property
    def running(self) -> list[RunTrial]:
        """The jobs that are running or wait for an actor."""
        return [*self._waiting, *(slot.job for slot in self._slots if slot.job is not None)]

    def submit(self, job: RunTrial) -> None:
        """Accept a job; it starts as soon as an actor is ready."""
        if job.limit_s is not None:
            self._deadlines[_key(job)] = time.monotonic() + job_limit.ended_after_s(job.limit_s)
        self._waiting.append(job)
        self._hand_out()

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Return a job that ended, or None if none did within about `wait_s`. Raises InputError if no node fits."""
        self._grow()
        self._hand_out()
        questions = {slot.question: slot for slot in self._slots if slot.question is not None}
        if questions and not self._ready:
            done, _ = self.ray.wait(list(questions), num_returns=1, timeout=wait_s)
            for question in done:
                self._hear(questions[question])
        elif not self._ready:
            time.sleep(wait_s)
        self._stop_late()
        self._hand_out()
        return self._ready.popleft() if self._ready else None

    def cancel(self, number: int) -> None:
        """Stop a job at once; `poll` will not return it."""
        self._waiting = deque(job for job in self._waiting if job.number != number)
        for slot in [s for s in self._slots if s.job is not None and s.job.number == number]:
            self._drop(slot)

    def close(self) -> None:
        """End all actors and leave the cluster."""
        for slot in list(self._slots):
            self._drop(slot)
        self.ray.shutdown()

    # ---- actors ----------------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Add actors up to what the cluster offers and the user allows; ask for that every few seconds."""
        if time.monotonic() - self._asked_at > SCALE_S:
            self._asked_at = time.monotonic()
            offer = connect.offer(self.ray)
            fits = offer.gpus / self.limits.gpus if self.limits.gpus else offer.cpus / self.limits.threads
            most = self.limits.most if self.limits.most is not None else int(fits)
            self._room = max(1, min(most, int(fits)) - self._refused)
            if not self._opened and time.monotonic() - self._began > FIRST_NODE_S:
                self.note(f"no actor has started yet: {offer.nodes} nodes, {offer.cpus:g} CPUs, {offer.gpus:g} GPUs")
                self._began = time.monotonic()
        while len(self._slots) < self._room:
            slot = _Slot(actor=self._class.remote())
            slot.question = slot.actor.open.remote(*self.shipping.opening)
            self._slots.append(slot)

    def _hand_out(self) -> None:
        """Send waiting jobs to idle actors."""
        for slot in self._slots:
            if self._waiting and slot.question is None:
                job = self._waiting.popleft()
                slot.job = self._shortened(job)
                try:
                    slot.question = slot.actor.run.remote(self.shipping.ship(slot.job))
                except AdviseError as error:
                    slot.job = None
                    self._end(Ended(job=job, outcome=error))

    def _shortened(self, job: RunTrial) -> RunTrial:
        """Return a job with its remaining time limit: it may have started on an actor that died."""
        deadline = self._deadlines.get(_key(job))
        if deadline is None or job.limit_s is None:
            return job
        return replace(job, limit_s=min(job.limit_s, job_limit.limit_within_s(deadline - time.monotonic())))

    def _hear(self, slot: _Slot) -> None:
        """Handle the answer to a slot's question: its environment, a trial, or that the actor is gone."""
        question, job = slot.question, slot.job
        slot.question = slot.job = None
        try:
            reply = self.ray.get(question)
        except Exception as error:  # Ray's errors, and what the trial raised, wrapped in one of them
            failure = outcome(error)
            if failure is not None and job is not None:
                self._end(Ended(job=job, outcome=failure))
            elif failure is not None:
                self._refuse(slot, str(failure))
            else:
                self._lost(slot, job, error)
            return
        if job is None:
            there = {name: version for name, version in reply.items() if name != NODE}
            different = environment.difference(reply.get(NODE, ""), there, self.shipping.environment)
            if different:
                self._refuse(slot, different)
            else:
                self._opened = True
        elif isinstance(reply, ShippedTrial):
            self.shipping.receive(reply)
            self._end(Ended(job=job, outcome=reply.trial))
        else:  # a rule: pixels that the job's parameters do not name
            slot.job, slot.question = job, slot.actor.run.remote(self.shipping.ship(job, reply))

    def _end(self, ended: Ended) -> None:
        self._deadlines.pop(_key(ended.job), None)
        self._deaths.pop(_key(ended.job), None)
        self._ready.append(ended)

    def _lost(self, slot: _Slot, job: RunTrial | None, error: Exception) -> None:
        """Replace an actor that died; its job is restarted up to three times."""
        self._slots.remove(slot)
        reason = " ".join(str(error).split())[:160]
        if job is None:
            self._failed_starts += 1
            missing = "ModuleNotFound" in type(error).__name__ + str(error)
            if not self._opened and (missing or self._failed_starts >= FAILED_STARTS):
                what = "tl-advise cannot be imported on a node" if missing else "no actor could be started"
                raise InputError(f"{what} ({reason}).", hint="Install it there, or see Ray's logs.") from None
            return
        deaths = self._deaths[_key(job)] = self._deaths.get(_key(job), 0) + 1
        if deaths > BEGUN_AGAIN:
            self._end(Ended(job=job, outcome=WorkerLostError(f"its actor died {deaths} times ({reason}).")))
        else:
            self.note(f"trial {job.number} begins again: its actor died")
            self._waiting.appendleft(job)

    def _refuse(self, slot: _Slot, line: str) -> None:
        """Use a node that differs no more; where no other one was ever fit, end the run with the reason."""
        self._refused += 1
        self._drop(slot)
        if not self._opened and not any(other.question is not None for other in self._slots):
            raise InputError(line, hint="Install the same versions on every node, or leave it out of the cluster.")
        self._room = max(1, self._room - 1)
        self.note(f"{line} It is not used.")

    def _stop_late(self) -> None:
        """Stop jobs that exceed their time limit and do not respond."""
        now = time.monotonic()
        for slot in [s for s in self._slots if s.job is not None]:
            assert slot.job is not None
            if now > self._deadlines.get(_key(slot.job), float("inf")):
                job = slot.job
                self._drop(slot)
                self._end(Ended(job=job, outcome=OutOfTimeError("the time for this job is over")))
        for job in [o for o in self._waiting if now > self._deadlines.get(_key(o), float("inf"))]:
            self._waiting.remove(job)
            self._end(Ended(job=job, outcome=OutOfTimeError("no actor was free in time")))

    def _drop(self, slot: _Slot) -> None:
        if slot in self._slots:
            self._slots.remove(slot)
        self.ray.kill(slot.actor, no_restart=True)


def _key(job: RunTrial) -> tuple[int, int]:
    return job.number, job.repeat
