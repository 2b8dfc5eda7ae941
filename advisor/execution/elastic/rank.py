"""One of several processes that train a trial together: started by torch's elastic launcher, ended with its worker.

Started as `python -m advisor.execution.elastic.rank FOLDER`, with RANK and WORLD_SIZE in the environment. FOLDER holds the
task and the socket over which rank 0 reports progress and answers; any rank reports there why it fails. A process whose work
fails ends with exit code 1, on which the launcher ends the others. Does NOT cover: the step itself (`training.data_parallel`).
"""

from __future__ import annotations

import datetime
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Client
from pathlib import Path

from advisor.errors import AdviseError, DivergedError, OutOfMemoryError, TooSlowError, TrialError
from advisor.records import Trial
from advisor.records.messages import OpenDataset, Progress, Refit, Refitted, RunTrial

FAILURES: dict[str, type[TrialError]] = {
    "out_of_memory": OutOfMemoryError,
    "diverged": DivergedError,
    "too_slow": TooSlowError,
}
TASK, LINE = "task.pickle", "line"
# A collective that waits longer has lost its partner: fitting a start or scoring a rung takes rank 0 much less.
TIMEOUT = datetime.timedelta(minutes=10)
LOOK_S = 0.5  # between two looks at whether the worker still lives


@dataclass(frozen=True, kw_only=True)
class GroupTask:
    """What a group of ranks runs. `opened` is the worker's data set, `threads` each rank's, `asked` a time.monotonic()."""

    opened: OpenDataset
    job: RunTrial | Refit
    threads: int
    asked: float


@dataclass(frozen=True, kw_only=True)
class RankReport:
    """What a rank came to: rank 0's answer, a failed trial among them, or why a rank failed."""

    rank: int
    result: Trial | Refitted | None = None
    error: AdviseError | None = None


def main(folder: str) -> None:
    """Run the task in `folder` together with the other ranks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the coordinator decides
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    line = Client(str(Path(folder) / LINE), family="AF_UNIX")
    task: GroupTask = pickle.loads((Path(folder) / TASK).read_bytes())
    emit = line.send if rank == 0 else _silent
    try:
        report = RankReport(rank=rank, result=_do(task, rank, size, emit))
    except AdviseError as error:
        report = RankReport(rank=rank, error=error)
    except BaseException as error:
        traceback.print_exc()
        report = RankReport(rank=rank, error=TrialError(f"{type(error).__name__}: {' '.join(str(error).split())}"))
    if isinstance(report.result, Trial) and report.result.state == "failed":
        report = replace(report, error=FAILURES.get(report.result.failure_kind, TrialError)(report.result.error))
    if rank == 0 or report.error:
        line.send(report)
    line.close()
    sys.stdout.flush()
    os._exit(1 if report.error else 0)  # at once: torch's own farewell would wait for ranks that are gone


def _do(task: GroupTask, rank: int, size: int, emit: Callable[[Progress], None]) -> Trial | Refitted:
    import torch

    from advisor import registry
    from advisor.execution import refit, trial
    from advisor.execution.resources import Resources
    from advisor.runtime import device
    from advisor.training.data_parallel import ProcessGroup

    cuda = device.choose(task.opened.device).device.startswith("cuda")
    opened = replace(task.opened, device=f"cuda:{rank}") if cuda else task.opened
    if cuda:
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT)
    resources = Resources(opened, registry.load(block=opened.plugins_blocked), _quiet, group=ProcessGroup(rank, size))
    compute = device.choose(opened.device)
    device.apply(replace(compute, threads=task.threads))
    job = task.job
    if job.limit_s is not None:  # the processes' start belongs to the job's time
        job = replace(job, limit_s=max(0.0, job.limit_s - (time.monotonic() - task.asked)))
    return refit.refit(resources, job, emit) if isinstance(job, Refit) else trial.attempt(resources, job, emit)


def _silent(progress: Progress) -> None:
    """Drop progress: rank 0 reports it for all."""


def _quiet(what: str, done: int, total: int) -> None:
    """Drop progress."""


def _leave_with(parent: int) -> None:
    """End this process when the worker that launched it is gone."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    from advisor.execution.elastic import rank

    rank.main(sys.argv[1])
