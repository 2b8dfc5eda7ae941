"""Start what a run needs by its settings: worker processes on this machine, and a Ray cluster for trials.

In: settings. Out: the workers, the executor; both end with their context. Does NOT cover: what they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from advisor.aliases import Note
from advisor.execution.executor import TrialExecutor
from advisor.execution.worker import Worker
from advisor.execution.worker_pool import WorkerPool
from advisor.records import Dataset, Settings
from advisor.records.messages import OpenDataset
from advisor.registry import Registry
from advisor.runtime import device


@contextmanager
def workers(settings: Settings, run_dir: Path, note: Note) -> Iterator[WorkerPool]:
    """Create the workers, each on its own GPU as far as there are enough, and start the first."""
    if settings.workers > 1 and settings.workers * (settings.threads or 1) > device.cores():
        note(f"{settings.workers} workers share {device.cores()} processor cores and will slow each other down")
    placements = device.places(settings.device, max(1, settings.workers))  # one is needed for probes and refits
    log = str(run_dir / "worker.log")
    pool = WorkerPool([Worker(log=log, environment=placement) for placement in placements])
    pool.first.start()  # torch loads while the folder is read
    try:
        yield pool
    finally:
        pool.close()


def connect(settings: Settings) -> Any:
    """Return the module `ray`, connected, where trials run on a cluster, else None. Raises InputError."""
    if not settings.ray:
        return None
    from advisor.execution.ray_cluster import connect

    return connect.connect(settings.ray, settings.threads)


@contextmanager
def executor(
    cluster: Any,
    pool: WorkerPool,
    job: OpenDataset,
    data_set: Dataset,
    settings: Settings,
    registry: Registry,
    note: Note,
) -> Iterator[TrialExecutor]:
    """Return where trials run: on the cluster, else in the workers of this machine, which end by themselves."""
    if cluster is None:
        yield pool
        return
    from advisor.execution.ray_cluster import executor

    trials = executor.start(cluster, job, data_set, settings, registry, note)
    try:
        yield trials
    finally:
        trials.close()
