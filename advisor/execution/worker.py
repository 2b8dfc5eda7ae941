"""A worker: a child process that runs jobs, and can be killed, die and be restarted without losing the run.

In: jobs. Out: replies, and progress in between. This module does not know what a job means and never imports torch.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from advisor.data.splits import FOLDS
from advisor.errors import AdviseError, OutOfTimeError, WorkerLostError
from advisor.records import Dataset, Item, Settings
from advisor.records.messages import Answer, DatasetOpened, Job, OnProgress, OpenDataset, Progress
from advisor.records.objective import ObjectiveSpec

A = TypeVar("A")
# How long OpenMP's threads wait for each other awake. Their default (300,000) is made for a machine of one's own: where
# others use the cores too, two threads took up to 45 times as long for a training step as with 1,000. Images per second of
# MobileNetV2's training at 96 px on two cores, alone and beside two other programs: 1,000: 220, 107; 3,000: 250, 92;
# 10,000: 238, 47 (medians of 3).
SPIN = "3000"


class Worker:
    """One long-lived worker process. What was opened is opened again whenever the process has to be started anew."""

    def __init__(self, *, log: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.opened: OpenDataset | None = None  # opened at the next start, without being waited for
        self.environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection[Any, Any] | None = None
        self._opening = False  # an answer to an `OpenDataset` that a start needed is still to come

    def start(self) -> None:
        """Start the process without waiting for it; it imports torch meanwhile."""
        ours, theirs = socket.socketpair()
        errors: Any = open(self.log, "ab") if self.log else subprocess.DEVNULL  # noqa: SIM115 (the child keeps it)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "advisor.execution.worker_main",
                str(theirs.fileno()),
            ],  # -P: no file here hides a module
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env={"GOMP_SPINCOUNT": SPIN, **_without_secrets(), **self.environment},
        )
        theirs.close()
        if self.log:
            errors.close()
        self.connection = Connection(ours.detach())

    def open(self, job: OpenDataset, on_progress: OnProgress | None = None) -> DatasetOpened:
        """Open a data set there, now and after every restart."""
        self.opened = None
        opened = self.ask(job, DatasetOpened, on_progress)
        self.opened = job
        return opened

    def ask(
        self, job: Job, kind: type[A], on_progress: OnProgress | None = None, *, deadline: float | None = None
    ) -> A:
        """Run a job in the process and return its answer, of type `kind`.

        `deadline` is a time.monotonic() after which the worker is killed. Raises what the job raised, WorkerLostError,
        OutOfTimeError. A KeyboardInterrupt on the way leaves the worker at its job.
        """
        self.post(job)
        while True:
            wait_s = 0.2 if deadline is None else min(0.2, max(0.0, deadline - time.monotonic()))
            message = self.hear(wait_s)
            if message is None:
                if deadline is not None and time.monotonic() >= deadline:
                    self.stop()
                    raise OutOfTimeError("the time for this job is over")
            elif isinstance(message, Progress):
                if on_progress is not None:
                    on_progress(message)
            elif isinstance(message, kind):
                return message
            else:
                raise AdviseError(f"the worker answered {type(message).__name__}, expected {kind.__name__}")

    def post(self, job: Job) -> None:
        """Send a job without waiting for its answer; starts the process where there is none. Raises WorkerLostError."""
        if self.connection is None:
            self.start()
            if self.opened is not None:
                self._opening = True
                self._send(self.opened)
        self._send(job)

    def hear(self, wait_s: float) -> Progress | Answer | None:
        """Return the next message; None where none came within `wait_s`. Raises what the job raised, WorkerLostError."""
        assert self.connection is not None
        try:
            if not self.connection.poll(wait_s):
                return None
            message = self.connection.recv()
        except (EOFError, ConnectionResetError, BrokenPipeError) as error:
            raise self._lost() from error
        if self._opening and not isinstance(message, Progress):
            self._opening = False
            if isinstance(message, BaseException):
                self.stop()  # what was sent behind it would find nothing open
                raise message
            return None
        if isinstance(message, BaseException):
            raise message
        return message  # type: ignore[no-any-return]

    def _send(self, job: Job) -> None:
        assert self.connection is not None
        try:
            self.connection.send(job)
        except (BrokenPipeError, ConnectionResetError, OSError) as error:
            raise self._lost() from error

    def _lost(self) -> WorkerLostError:
        code = None
        if self.process is not None:
            try:
                code = self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                code = None
        self.stop()
        killed = code is not None and code < 0
        why = f"killed by signal {-code}" if killed and code is not None else f"exit code {code}"
        hint = "Out of memory? Close other programs; a smaller input size needs less." if killed and code == -9 else ""
        return WorkerLostError(f"the worker process ended ({why}).", hint=hint)

    def stop(self) -> None:
        """End the process at once. A later job starts a new one."""
        self._opening = False
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _without_secrets() -> dict[str, str]:
    """Return this process's environment without what opens a database, which a worker never needs."""
    return {k: v for k, v in os.environ.items() if k not in ("TL_ADVISE_STORAGE", "PGPASSWORD", "PGPASSFILE")}


def open_job(
    settings: Settings,
    run_dir: Path | None,
    dataset: Dataset,
    pool: tuple[Item, ...],
    *,
    folds: int = FOLDS,
    objective: ObjectiveSpec | None = None,
) -> OpenDataset:
    """Return what a worker opens: the pool's items and nothing of the test; without `run_dir` nothing is written."""
    return OpenDataset(
        root=dataset.root,
        classes=dataset.classes,
        items=pool,
        folds=folds,
        seed=settings.seed,
        device=settings.device,
        run_dir=str(run_dir) if run_dir is not None else "",
        weights_dir=settings.weights_dir,
        offline=settings.offline,
        workers=max(1, settings.workers),
        devices=settings.devices,
        plugins_blocked=settings.plugins_blocked,
        has_groups=dataset.has_groups,
        holds_out_val=dataset.holds_out_val,
        value_range=dataset.value_range,
        max_pixels=settings.reading.max_pixels,
        threads=settings.threads,
        arithmetic=settings.arithmetic,
        procedure=settings.procedure,
        revisions=settings.revisions,
        objective=objective or ObjectiveSpec(),
    )
