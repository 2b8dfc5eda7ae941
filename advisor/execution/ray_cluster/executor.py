"""Trials on a Ray cluster: the `TrialExecutor` whose slots are actors, one device each, on whatever nodes there are.

In: orders. Out: the end of each. An actor or node that dies gives its order back, which begins again elsewhere up to three
times; what comes from it later is not heard. Does NOT cover: what an actor does (`actor`), connecting (`connect`).
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
BEGUN_AGAIN = 3  # times that one order begins again after its actor died
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
    """An actor, the question that it is busy with, and its order; while it opens the data set it has none."""

    actor: Any
    question: Any = None
    order: RunTrial | None = None
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
    """Actors on a cluster, one order each. `note` is called with what a user should know."""

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
        """True if another order would be taken: an actor is idle, or the cluster has room for one more."""
        self._grow()
        return len(self.running) < max(1, len(self._slots))

    @property
    def busy(self) -> bool:
        """True if an order is under way or has ended and was not polled yet."""
        return bool(self.running) or bool(self._ready)

    @property
    def running(self) -> list[RunTrial]:
        """The orders that are under way or wait for an actor."""
        return [*self._waiting, *(slot.order for slot in self._slots if slot.order is not None)]

    def submit(self, order: RunTrial) -> None:
        """Accept an order; it begins as soon as an actor is ready."""
        if order.limit_s is not None:
            self._deadlines[_key(order)] = time.monotonic() + job_limit.ended_after_s(order.limit_s)
        self._waiting.append(order)
        self._hand_out()

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Return an order that ended; None where none did within about `wait_s`. Raises InputError where no node fits."""
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
        """End an order at once, without an end for it."""
        self._waiting = deque(order for order in self._waiting if order.number != number)
        for slot in [s for s in self._slots if s.order is not None and s.order.number == number]:
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
        """Return waiting orders to actors that have nothing to do."""
        for slot in self._slots:
            if self._waiting and slot.question is None:
                order = self._waiting.popleft()
                slot.order = self._shortened(order)
                try:
                    slot.question = slot.actor.run.remote(self.shipping.ship(slot.order))
                except AdviseError as error:
                    slot.order = None
                    self._end(Ended(order=order, outcome=error))

    def _shortened(self, order: RunTrial) -> RunTrial:
        """Return an order with the time that is left for it: it may have begun on an actor that died."""
        deadline = self._deadlines.get(_key(order))
        if deadline is None or order.limit_s is None:
            return order
        return replace(order, limit_s=min(order.limit_s, job_limit.limit_within_s(deadline - time.monotonic())))

    def _hear(self, slot: _Slot) -> None:
        """Handle the answer to a slot's question: its environment, a trial, or that the actor is gone."""
        question, order = slot.question, slot.order
        slot.question = slot.order = None
        try:
            reply = self.ray.get(question)
        except Exception as error:  # Ray's errors, and what the trial raised, wrapped in one of them
            failure = outcome(error)
            if failure is not None and order is not None:
                self._end(Ended(order=order, outcome=failure))
            elif failure is not None:
                self._refuse(slot, str(failure))
            else:
                self._lost(slot, order, error)
            return
        if order is None:
            there = {name: version for name, version in reply.items() if name != NODE}
            different = environment.difference(reply.get(NODE, ""), there, self.shipping.environment)
            if different:
                self._refuse(slot, different)
            else:
                self._opened = True
        elif isinstance(reply, ShippedTrial):
            self.shipping.receive(reply)
            self._end(Ended(order=order, outcome=reply.trial))
        else:  # a rule: pixels that the order's parameters do not name
            slot.order, slot.question = order, slot.actor.run.remote(self.shipping.ship(order, reply))

    def _end(self, ended: Ended) -> None:
        self._deadlines.pop(_key(ended.order), None)
        self._deaths.pop(_key(ended.order), None)
        self._ready.append(ended)

    def _lost(self, slot: _Slot, order: RunTrial | None, error: Exception) -> None:
        """Replace an actor that died; its order begins again, up to three times."""
        self._slots.remove(slot)
        reason = " ".join(str(error).split())[:160]
        if order is None:
            self._failed_starts += 1
            missing = "ModuleNotFound" in type(error).__name__ + str(error)
            if not self._opened and (missing or self._failed_starts >= FAILED_STARTS):
                what = "tl-advise cannot be imported on a node" if missing else "no actor could be started"
                raise InputError(f"{what} ({reason}).", hint="Install it there, or see Ray's logs.") from None
            return
        deaths = self._deaths[_key(order)] = self._deaths.get(_key(order), 0) + 1
        if deaths > BEGUN_AGAIN:
            self._end(Ended(order=order, outcome=WorkerLostError(f"its actor died {deaths} times ({reason}).")))
        else:
            self.note(f"trial {order.number} begins again: its actor died")
            self._waiting.appendleft(order)

    def _refuse(self, slot: _Slot, line: str) -> None:
        """Use a node that differs no more; where no other one was ever fit, end the run with the reason."""
        self._refused += 1
        self._drop(slot)
        if not self._opened and not any(other.question is not None for other in self._slots):
            raise InputError(line, hint="Install the same versions on every node, or leave it out of the cluster.")
        self._room = max(1, self._room - 1)
        self.note(f"{line} It is not used.")

    def _stop_late(self) -> None:
        """End orders that are over their limit and do not answer."""
        now = time.monotonic()
        for slot in [s for s in self._slots if s.order is not None]:
            assert slot.order is not None
            if now > self._deadlines.get(_key(slot.order), float("inf")):
                order = slot.order
                self._drop(slot)
                self._end(Ended(order=order, outcome=OutOfTimeError("the time for this job is over")))
        for order in [o for o in self._waiting if now > self._deadlines.get(_key(o), float("inf"))]:
            self._waiting.remove(order)
            self._end(Ended(order=order, outcome=OutOfTimeError("no actor was free in time")))

    def _drop(self, slot: _Slot) -> None:
        if slot in self._slots:
            self._slots.remove(slot)
        self.ray.kill(slot.actor, no_restart=True)


def _key(order: RunTrial) -> tuple[int, int]:
    return order.number, order.repeat
