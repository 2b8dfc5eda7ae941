"""A worker on another machine: joins a shared study, takes waiting trials, trains them, sends records and logits back.

In: the study's address and name, the data set as it lies here. Out: how many trials were run. Only records and validation
logits leave this machine. What is taken is held by a lease that is renewed while the trial runs.
Does NOT cover: what a trial does (worker.py), who proposes trials (search.py).
"""

from __future__ import annotations

import base64
import os
import random
import socket
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import optuna

from advisor import registry
from advisor._version import __version__
from advisor.data import dataset
from advisor.errors import AdviseError, InputError, WeightsError
from advisor.execution import worker_pool
from advisor.execution.worker import Worker
from advisor.records import Trial
from advisor.records.messages import Describe, Description, OpenDataset, Progress, RunTrial
from advisor.records.offers import Offer
from advisor.records.trials import REGIMES, regime_name
from advisor.runtime.progress import Listener
from advisor.tuning.distributed.database import Database
from advisor.tuning.distributed.shared_study import COORDINATOR, claim, plugins_of
from advisor.tuning.study import write_end

PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0  # between two looks for a waiting trial: longer the longer there was none
ALONE_S = 900.0  # how long a worker waits for a coordinator that is away, and for an offer
RUNNING = optuna.trial.TrialState.RUNNING


@dataclass(kw_only=True)
class Recruit:
    """One worker of a shared study. Where it trains: `device`, `threads`, `weights_dir`, `offline`, as for a run."""

    database: Database
    name: str
    data: str
    device: str = "auto"
    threads: int | None = None
    weights_dir: str | None = None
    offline: bool = False
    log: str | None = None
    wait_s: float = 0.0  # for a study that is not there yet
    listener: Listener = field(default_factory=Listener)
    open_worker: Callable[[OpenDataset, Offer], Any] | None = None  # for simulations: what trains instead of a process
    study: int = -1
    me: str = ""
    lease_s: float = 90.0
    _renewed: float = 0.0

    def serve(self) -> int:
        """Work until the study ends or its coordinator stays away; give the number of trials that were run."""
        until = time.monotonic() + self.wait_s
        while not self._is_there():
            if time.monotonic() >= until:
                raise InputError(
                    f"no study {self.name} in {self.database.place}.",
                    hint="`tl-advise advise --storage …` prints its name; --wait 10m waits for it.",
                )
            time.sleep(1.0)
        self.me = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        offer = self._offer()
        if offer is None:
            return 0
        self.lease_s = offer.lease_s
        with tempfile.TemporaryDirectory(prefix="tl-advise-worker-") as folder:
            (Path(folder) / "trials").mkdir()
            worker = self._opened(offer, folder)
            self.database.take(self.study, f"worker:{self.me}", self.me, self.lease_s)
            try:
                return self._work(worker, Path(folder))
            finally:
                worker.stop()
                self.database.run(lambda: self.database.release(self.study, self.me), patience_s=5.0)

    def _is_there(self) -> bool:
        try:
            self.study = self.database.run(lambda: self.database.storage.get_study_id_from_name(self.name))
        except KeyError:
            return False
        return True

    # ---- joining -----------------------------------------------------------------------------------------------------

    def _offer(self) -> Offer | None:
        """Wait for the coordinator's offer; None where the study has ended."""
        until = time.monotonic() + ALONE_S
        while time.monotonic() < until:
            told = self._attributes()
            if told.get("ended"):
                return None
            if "offer" in told:
                return msgspec.json.decode(told["offer"], type=Offer)
            time.sleep(1.0)
        raise AdviseError(f"study {self.name}: no coordinator has offered work.", hint="Is `tl-advise advise` running?")

    def _attributes(self) -> dict[str, Any]:
        return dict(self.database.run(lambda: self.database.storage.get_study_user_attrs(self.study)))

    def _opened(self, offer: Offer, folder: str) -> Any:
        """Check that this machine has the same as the coordinator, and open the data set. Raises InputError."""
        if offer.version != __version__:
            raise InputError(f"tl-advise is {__version__} here and {offer.version} at the coordinator.")
        here = plugins_of(registry.load())
        for name, wanted in offer.plugins.items():
            if here.get(name) != wanted:
                raise InputError(f"plugin {name}: {here.get(name, 'not installed')} here, {wanted} at the coordinator.")
        self.listener.stage("looking at the data")
        found = dataset.read(self.data, test_split=offer.test_split)
        if found.fingerprint != offer.fingerprint:
            raise InputError(
                f"{self.data}: another data set (fingerprint {found.fingerprint[:12]}, the study's is "
                f"{offer.fingerprint[:12]}).",
                hint="Names, labels and bytes of all files must be the same.",
            )
        paths = zlib.decompress(base64.b64decode(offer.pool)).decode("utf-8", "surrogateescape").split("\n")
        items = {item.path: item for item in found.items}
        job = OpenDataset(
            root=found.root,
            classes=offer.classes,
            items=tuple(replace(items[path], split="pool") for path in paths),
            folds=offer.folds,
            seed=offer.seed,
            device=self.device,
            run_dir=folder,
            weights_dir=self.weights_dir,
            offline=self.offline,
            plugins_blocked=tuple(sorted(here.keys() - offer.plugins.keys())),
            has_groups=offer.has_groups,
            threads=self.threads,
        )
        return self.open_worker(job, offer) if self.open_worker else self._started(job, offer)

    def _started(self, job: OpenDataset, offer: Offer) -> Worker:
        worker = Worker(log=self.log)
        worker.open(job, self.listener.progress)
        for name, digest in offer.weights.items():
            own = worker.ask(Describe(backbone=name), Description, self.listener.progress).weights_sha256
            if own != digest:
                worker.stop()
                raise WeightsError(
                    f"{name}: other weights (SHA-256 {own[:12]} here, {digest[:12]} at the coordinator)."
                )
        return worker

    # ---- working -----------------------------------------------------------------------------------------------------

    def _work(self, worker: Any, folder: Path) -> int:
        done, seen, pause = 0, time.monotonic(), PAUSE_S
        while True:
            waiting, led = self.database.glance(self.study, COORDINATOR)
            order = self._taken(waiting)
            if order is not None:
                done += self._run(worker, order, folder)
                seen, pause = time.monotonic(), PAUSE_S
                continue
            if self._attributes().get("ended"):
                return done
            seen = time.monotonic() if led else seen
            if time.monotonic() - seen > ALONE_S:
                self.listener.note(f"no coordinator for {ALONE_S / 60:.0f} minutes: this worker leaves")
                return done
            self._renew()
            time.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(1.5 * pause, LONGEST_PAUSE_S)

    def _taken(self, waiting: list[str]) -> RunTrial | None:
        """Take a waiting trial ("trial:7"); any of them, so that many workers do not all reach for the first."""
        storage = self.database.storage
        for number in random.sample([int(name.partition(":")[2]) for name in waiting], len(waiting)):
            if claim(self.database, self.study, number, self.me, self.lease_s):
                identity = storage.get_trial_id_from_study_id_trial_number(self.study, number)
                told = self.database.run(partial(storage.get_trial_user_attrs, identity))
                order, ends = msgspec.json.decode(told["order"], type=RunTrial), told.get("ends_at")
                return order if ends is None else replace(order, limit_s=max(1.0, ends - self.database.now()))
        return None

    def _renew(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._renewed > self.lease_s / 4:
            self._renewed = time.monotonic()
            self.database.renew(self.study, self.me, self.lease_s)

    def _run(self, worker: Any, order: RunTrial, folder: Path) -> int:
        """Train one trial and send what came of it; 1, or 0 where it was taken away meanwhile."""
        candidate = order.candidate
        self.listener.stage(f"trial {order.number}: {candidate.strategy} on {candidate.backbone}")
        seat, rungs = worker_pool.WorkerPool([worker]), 0
        identity = self.database.storage.get_trial_id_from_study_id_trial_number(self.study, order.number)

        def heard(progress: Progress) -> None:
            nonlocal rungs
            self.listener.progress(progress)
            if progress.accuracy is not None:
                self._rung(identity, rungs, progress)
                rungs += 1

        seat.submit(order)
        try:
            while (ended := seat.poll(heard)) is None:
                if time.monotonic() - self._renewed > self.lease_s / 4:
                    self._renew()
                    if self.database.run(lambda: self.database.storage.get_trial(identity)).state != RUNNING:
                        worker.stop()
                        self.listener.note(f"trial {order.number} was given to another worker")
                        return 0
        except KeyboardInterrupt:
            self._send(_failed(order, "its worker was stopped"), "lost")
            raise
        answer = ended.answer
        trial = answer if isinstance(answer, Trial) else _failed(order, str(answer))
        if trial.predictions:
            self.database.put_logits(self.study, order.number, compact(folder / trial.predictions))
        self._send(trial, "record")
        for left in (folder / "trials").glob(f"{order.number:05d}*"):
            left.unlink() if left.is_file() else _remove(left)
        return 1

    def _rung(self, identity: int, number: int, progress: Progress) -> None:
        self._renew(now=True)
        if progress.accuracy is not None:
            value = 1.0 - progress.accuracy
            storage = self.database.storage
            try:
                self.database.run(lambda: storage.set_trial_intermediate_value(identity, number, value))
            except optuna.exceptions.UpdateFinishedTrialError:
                return  # given up by the coordinator; the next look at its state ends it here

    def _send(self, trial: Trial, attribute: str) -> None:
        """Write a trial's end down; one that was given up meanwhile stays as the coordinator wrote it."""
        try:
            self.database.run(lambda: write_end(self.database.storage, self.study, trial, attribute))
        except optuna.exceptions.UpdateFinishedTrialError:
            self.listener.note(f"trial {trial.number} had been given up: its result is not used")
        self.database.release(self.study, self.me, f"trial:{trial.number}")


def _failed(order: RunTrial, reason: str) -> Trial:
    found = registry.load().strategies.get(order.candidate.strategy)
    regime = regime_name(found.regime if found is not None else REGIMES[0])  # unknown here: any will do, it failed
    return Trial(number=order.number, candidate=order.candidate, regime=regime, state="failed", error=reason)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def compact(path: Path) -> bytes:
    """Give validation logits with their rows and labels as they are, zlib-compressed: what a verdict needs of a trial."""
    import io

    import numpy as np

    stream = io.BytesIO()
    with np.load(path) as saved:
        np.savez_compressed(stream, **saved)
    return stream.getvalue()
