"""A study in a database that several machines share: the coordinator's side of it.

In: trials, orders for workers elsewhere, an offer that they join by. Out: what they sent back. Whether a trial is taken
or has ended is decided by Optuna's own state transitions, so that no trial is run or told twice, whoever is late.
Does NOT cover: the workers' side (recruit.py), who gets which trial (fleet.py).
"""

from __future__ import annotations

import base64
import os
import socket
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
import optuna

from advisor import registry
from advisor._version import __version__
from advisor.errors import AdviseError, DatabaseError, InputError
from advisor.records import Trial
from advisor.records.messages import OpenDataset, RunTrial
from advisor.records.offers import Offer
from advisor.tuning import sampler
from advisor.tuning.distributed.database import Database
from advisor.tuning.study import Study, record, write_end

T = TypeVar("T")
COORDINATOR = "coordinator"
WAITING, RUNNING = optuna.trial.TrialState.WAITING, optuna.trial.TrialState.RUNNING


class SharedStudy(Study):
    """One study in a shared database, held by one coordinator: `me`. Every write is tried again while it is away."""

    def __init__(self, database: Database, name: str, seed: int, *, run: str, me: str, lease_s: float) -> None:
        self.database = database
        self.name = name
        self.me = me
        self.lease_s = lease_s
        self._told: set[int] = set()  # trials whose end somebody else has written
        self._gone: set[int] = set()  # trials whose worker is not heard of any more
        self._load(database.storage, name, seed)
        self.id = int(self.study._study_id)
        marked = database.run(lambda: self.storage.get_study_user_attrs(self.id)).get("run")
        if marked not in (None, run):
            raise InputError(
                f"study {name} in {database.place}: holds the trials of another run.",
                hint="Give another --study, or resume that run.",
            )
        before = database.held(self.id)[0].get(COORDINATOR, "")
        if _died_here(before):
            database.release(self.id, before)
        if not database.take(self.id, COORDINATOR, me, lease_s):
            raise InputError(
                f"study {name} in {database.place}: another coordinator works on it.",
                hint="Wait for it, stop it first, or give another --study.",
            )
        database.run(lambda: self.storage.set_study_user_attr(self.id, "run", run))
        self._over = threading.Event()
        self._usurped = False
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        """Renew the lease, whatever the coordinator is busy with, until it leaves or another one has it."""
        while not self._over.wait(self.lease_s / 4):
            try:
                kept = self.database.renew(self.id, self.me, self.lease_s)
                self._usurped = not kept and not self.database.take(self.id, COORDINATOR, self.me, self.lease_s)
            except DatabaseError:
                continue  # whoever needs the database next tells it
            if self._usurped:
                return

    def _write(self, operation: Callable[[], T]) -> T:
        if self.__dict__.get("_usurped"):
            raise AdviseError(
                f"study {self.name}: another coordinator has taken it.", hint="Only one may go on; this one stops."
            )
        return self.database.run(operation)

    def _create(self, shown: sampler.Shown, attributes: dict[str, Any]) -> int:
        token, known = uuid.uuid4().hex, len(self._begun)
        create = super()._create

        tries = 0

        def once() -> int:
            nonlocal tries
            tries += 1
            if tries > 1:  # the answer to an earlier try may have been lost on the way back
                made = [t for t in self.study.get_trials(deepcopy=False)[known:] if t.user_attrs.get("token") == token]
                if made:
                    return int(made[0].number)
            return create(shown, {**attributes, "token": token})

        return self.database.run(once)

    def publish(self, offer: Offer) -> None:
        """Let workers join."""
        text = msgspec.json.encode(offer).decode()
        self.database.run(lambda: self.storage.set_study_user_attr(self.id, "offer", text))

    def close(self) -> None:
        """Tell all workers that the search is over."""
        self.database.run(lambda: self.storage.set_study_user_attr(self.id, "ended", True))

    def leave(self) -> None:
        """Let go of the study, so that another coordinator may go on at once."""
        self._over.set()
        self.database.run(lambda: self.database.release(self.id, self.me), patience_s=2.0)

    # ---- orders ------------------------------------------------------------------------------------------------------

    def _identity(self, number: int) -> int:
        return int(self.storage.get_trial_id_from_study_id_trial_number(self.id, number))

    def hand_out(self, order: RunTrial) -> None:
        """Let a worker elsewhere take a trial that was begun here."""
        ends = None if order.limit_s is None else self.database.now() + order.limit_s

        def written() -> None:
            identity = self._identity(order.number)
            self.storage.set_trial_user_attr(identity, "order", msgspec.json.encode(order).decode())
            self.storage.set_trial_user_attr(identity, "ends_at", ends)
            self.storage.set_trial_state_values(identity, state=WAITING)

        self.database.run(written)
        self.wait_for_anybody(order.number)  # last, and apart: what a worker has seen is never set back to waiting

    def wait_for_anybody(self, number: int) -> None:
        """Let workers see a waiting trial."""
        self.database.queue(self.id, f"trial:{number}")

    def take_back(self, number: int) -> bool:
        """Take a waiting trial; False where a worker was faster. What runs here needs no lease."""
        taken = claim(self.database, self.id, number, self.me, self.lease_s)
        if taken:
            self.database.release(self.id, self.me, f"trial:{number}")
        return taken

    def handed_out(self) -> dict[int, RunTrial]:
        """Give the orders of an earlier coordinator that did not end."""
        return {
            t.number: msgspec.json.decode(t.user_attrs["order"], type=RunTrial)
            for t in self._trials().values()
            if not t.state.is_finished() and "order" in t.user_attrs
        }

    def _trials(self) -> dict[int, optuna.trial.FrozenTrial]:
        return {t.number: t for t in self.database.run(lambda: self.study.get_trials(deepcopy=False))}

    def look(self, numbers: Iterable[int]) -> Mapping[int, Trial | str]:
        """Give, for each of these trials, its record where it has ended, else "waiting" or "running"."""
        wanted, found = set(numbers), {}
        for number, trial in self._trials().items() if wanted else ():
            if number in wanted:
                ended = trial.state.is_finished()
                found[number] = record(trial) if ended else "waiting" if trial.state == WAITING else "running"
                if ended:
                    self._told.add(number)
                    if "lost" in trial.user_attrs and trial.state == optuna.trial.TrialState.FAIL:
                        self._lost.setdefault(number, None)
        return found

    def give_up(self, number: int) -> None:
        """Note that a trial's worker is not heard of: `finish` writes its end in its place, and it is begun again."""
        self._gone.add(number)

    def finish(self, trial: Trial) -> None:
        """Write a trial's end down, unless its worker has; what the worker wrote at the last moment counts."""
        if trial.number in self._told:
            self._note(trial)
            return
        lost = trial.number in self._gone
        try:
            self.database.run(lambda: write_end(self.storage, self.id, trial, "lost" if lost else "record"))
        except optuna.exceptions.UpdateFinishedTrialError:
            there = self.look([trial.number])[trial.number]
            self._note(there if isinstance(there, Trial) else trial)
            return
        if lost:
            self._lost.setdefault(trial.number, None)
        self._note(trial)


def _died_here(holder: str) -> bool:
    """Whether a holder ("host:pid:mark") was a process of this machine that is gone: nobody need wait for its lease."""
    host, _, rest = holder.partition(":")
    if host != socket.gethostname() or not rest.partition(":")[0].isdigit():
        return False
    try:
        os.kill(int(rest.partition(":")[0]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def claim(database: Database, study: int, number: int, me: str, lease_s: float) -> bool:
    """Take a waiting trial: its lease first, which only one of many gets, then Optuna's state."""
    if not database.take(study, f"trial:{number}", me, lease_s):
        return False
    storage = database.storage
    try:
        identity = database.run(lambda: storage.get_trial_id_from_study_id_trial_number(study, number))
        if database.run(lambda: storage.set_trial_state_values(identity, RUNNING)):
            return True
    except optuna.exceptions.UpdateFinishedTrialError:
        pass  # it has ended meanwhile
    database.release(study, me, f"trial:{number}")
    return False


def offer_of(job: OpenDataset, fingerprint: str, test_split: str, weights: dict[str, str], lease_s: float) -> Offer:
    """Say what a worker elsewhere must have, and what it opens."""
    paths = "\n".join(item.path for item in job.items).encode("utf-8", "surrogateescape")
    return Offer(
        version=__version__,
        fingerprint=fingerprint,
        test_split=test_split,
        plugins=plugins_of(registry.load(block=job.plugins_blocked)),
        weights=weights,
        classes=job.classes,
        pool=base64.b64encode(zlib.compress(paths)).decode(),
        folds=job.folds,
        seed=job.seed,
        has_groups=job.has_groups,
        lease_s=lease_s,
    )


def plugins_of(found: registry.Registry) -> dict[str, str]:
    """Name the plugins that work, with their distributions and versions."""
    return {p.name: f"{p.distribution} {p.version}" for p in found.plugins if not p.broken}
