"""A contest on real crops with one worker, ten minutes, and nothing tried yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photos import write_crops

from advisor import advice, budget, dataset, regime, registry
from advisor.contest import Contest
from advisor.crew import Crew
from advisor.listener import Listener
from advisor.records import Settings
from advisor.rundir import RunDir
from advisor.study import Study
from advisor.workers import Worker


@contextmanager
def on_crops(place: Path) -> Iterator[Contest]:
    """Open sixty crops in three classes; the worker is gone when the block ends."""
    found = dataset.read(str(write_crops(place / "crops")))
    settings = Settings(data=found.root, budget_s=600.0, threads=1, offline=True)
    rundir = RunDir.create(place / "run", data=place / "crops")
    worker = Worker()
    worker.open(advice.open_job(settings, rundir.path, found, found.pool))
    try:
        yield Contest(
            settings=settings,
            rundir=rundir,
            clock=budget.Clock(600.0),
            crew=Crew([worker]),
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
