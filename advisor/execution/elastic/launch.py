"""One trial, or the refit, on several devices: processes started by torch's elastic launcher, one for each device.

In: a worker's resources and a job. Out: what `trial.run` and `refit.refit` give. Only what trains goes to the devices;
heads on frozen features stay in the worker. A rank that dies or fails ends the trial with its reason and nothing else:
the launcher ends the other ranks, and a collective that waits for a lost one ends by itself after ten minutes.
Does NOT cover: what a rank does (`rank`), how ranks share a step (`training.data_parallel`).
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from advisor.errors import BackboneError, TrialError
from advisor.execution import refit, trainer, trial
from advisor.execution.elastic.rank import LINE, TASK, GroupTask, RankReport
from advisor.execution.resources import Resources
from advisor.records import Candidate, Trial
from advisor.records.messages import OnProgress, Progress, Refit, Refitted, RunTrial

LATE_S = 5.0  # to wait for a report after all ranks have ended


def run_trial(resources: Resources, job: RunTrial, emit: OnProgress) -> Trial:
    """Run one trial, on all devices where it trains."""
    return trial.run(resources, job, emit, once=_attempt if resources.job.devices > 1 else None)


def run_refit(resources: Resources, job: Refit, emit: OnProgress) -> Refitted:
    """Train a candidate on the pool, on all devices where it trains. Raises TrialError where training fails."""
    rows = refit.training_rows(resources, job)[0]
    if resources.job.devices < 2 or not _warm(resources, job.candidate, rows, job.seed):
        return refit.refit(resources, job, emit)
    refitted = _launch(resources, job, emit)
    assert isinstance(refitted, Refitted)
    return replace(refitted, compute=resources.compute(resources.registry.backbone(job.candidate.backbone)))


def _attempt(resources: Resources, job: RunTrial, emit: OnProgress) -> Trial:
    try:
        trains = _warm(resources, job.candidate, resources.folds(job.repeat)[job.folds[0]][0], job.seed)
    except Exception:
        trains = False  # it fails here as well, where the reason is written down
    if not trains:
        return trial.attempt(resources, job, emit)
    try:
        ended = _launch(resources, job, emit)
    except (TrialError, BackboneError) as error:
        return trial.failed(resources, job, error)
    assert isinstance(ended, Trial)
    return ended


def _warm(resources: Resources, candidate: Candidate, rows: Any, seed: int) -> bool:
    """Compute what every rank would compute anew, into the cache; return True if the candidate trains."""
    plan = resources.plan(candidate, rows)
    if plan.phases:
        trainer.warm(resources, candidate, plan, seed)
    return bool(plan.phases)


def _launch(resources: Resources, job: RunTrial | Refit, emit: OnProgress) -> Trial | Refitted:
    devices, threads = (
        resources.job.devices,
        resources.compute(resources.registry.backbone(job.candidate.backbone)).threads,
    )
    task = GroupTask(
        opened=replace(resources.job, threads=threads),
        job=job,
        threads=max(1, threads // devices),
        asked=time.monotonic(),
    )
    with tempfile.TemporaryDirectory(prefix="tl-advise-") as folder:
        (Path(folder) / TASK).write_bytes(pickle.dumps(task))
        with Listener(str(Path(folder) / LINE), family="AF_UNIX") as listener:
            heard = _Heard(listener, emit)
            dead = _elastic(devices, folder)
            return heard.result(dead)


def _elastic(devices: int, folder: str) -> str:
    """Run the ranks to their end; give how one died, "" where none was killed."""
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        local_addr="localhost",
        logs_specs=DefaultLogsSpecs(),
    )
    with _signals_kept():
        try:
            elastic_launch(config, sys.executable)("-m", "advisor.execution.elastic.rank", folder)
        except ChildFailedError as error:
            # The launcher itself ends the rest with SIGTERM; any other signal came from outside.
            killed = {
                r: f.exitcode for r, f in error.failures.items() if f.exitcode < 0 and f.exitcode != -signal.SIGTERM
            }
            for rank, code in sorted(killed.items()):
                return f"the process of device {rank} was killed by signal {-code}"
    return ""


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore at the end the handlers of signals that the launcher takes over."""
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in names}
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGTERM"
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError, TypeError):  # not the main thread: then nothing was taken over
                signal.signal(number, handler)


class _Heard:
    """The ranks' messages while the launcher holds this thread: progress is handed on, reports stay in order."""

    def __init__(self, listener: Listener, emit: OnProgress) -> None:
        self._listener, self._emit = listener, emit
        self._reports: list[RankReport] = []
        self._news = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def result(self, dead: str) -> Trial | Refitted:
        """Return rank 0's answer once all ranks have ended. Raises TrialError with the first reason why there is none."""
        with self._news:
            self._news.wait_for(lambda: bool(self._reports), timeout=0.0 if dead else LATE_S)
            reports = list(self._reports)
        if dead:  # what the others say then is only that it is gone
            raise TrialError(dead)
        if not reports:
            raise TrialError("the processes on the devices ended without an answer; the worker's log may say why")
        first = reports[0]
        if first.rank > 0 and first.error is not None:
            raise type(first.error)(f"{first.error.what} (on device {first.rank})", hint=first.error.hint)
        if first.result is None:
            raise first.error or TrialError("rank 0 gave no answer")
        return first.result

    def _accept(self) -> None:
        with suppress(OSError, EOFError):  # the listener was closed: all is said
            while True:
                threading.Thread(target=self._hear, args=(self._listener.accept(),), daemon=True).start()

    def _hear(self, line: Connection[Any, Any]) -> None:
        with suppress(OSError, EOFError):
            while True:
                message = line.recv()
                if isinstance(message, Progress):
                    self._emit(message)
                    continue
                with self._news:
                    self._reports.append(message)
                    self._news.notify_all()
