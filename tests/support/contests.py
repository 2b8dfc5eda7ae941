"""A contest on real crops with one worker, ten minutes, and nothing tried yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photos import write_crops

from advisor import registry
from advisor.data import dataset
from advisor.execution.worker import Worker, open_job
from advisor.execution.worker_pool import WorkerPool
from advisor.records import Settings
from advisor.runtime import clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning import regime
from advisor.tuning.search_state import Contest
from advisor.tuning.trials.study import Study


@contextmanager
def on_crops(place: Path) -> Iterator[Contest]:
    """Open sixty crops in three classes; the worker is gone when the block ends."""
    found = dataset.read(str(write_crops(place / "crops")))
    settings = Settings(data=found.root, budget_s=600.0, threads=1, offline=True)
    rundir = RunDir.create(place / "run", data=place / "crops")
    worker = Worker()
    worker.open(open_job(settings, rundir.path, found, found.pool))
    try:
        yield Contest(
            settings=settings,
            rundir=rundir,
            clock=clock.Clock(600.0),
            crew=WorkerPool([worker]),
            registry=registry.load(),
            strategies={},
            regime=regime.by_size(48, 3),
            counts=tuple(sum(i.label == k for i in found.pool) for k in range(len(found.classes))),
            test_images=len(found.test),
            study=Study(rundir.study, 0),
            listener=Listener(),
            device="cpu",
            on_better=lambda trial: None,
            sizes={},
        )
    finally:
        worker.stop()
