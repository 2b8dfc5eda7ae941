"""A search on real crops with one worker, ten minutes, and nothing tried yet; and machines of other speeds for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from photos import write_crops

from advisor import registry
from advisor.data import dataset
from advisor.execution.worker import Worker, open_job
from advisor.execution.worker_pool import WorkerPool
from advisor.records import Candidate, Settings
from advisor.runtime import clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning import budget, cost_model, regime
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchFacts, SearchState
from advisor.tuning.trials.study import Study

TRAINED = Candidate(backbone="pocket", strategy="partial", parameters={"epochs": 1.0}, size_px=64)
FULL = Candidate(backbone="pocket", strategy="full", parameters={"epochs": 10.0}, size_px=64)


@contextmanager
def on_crops(folder: Path) -> Iterator[SearchRun]:
    """Open sixty crops in three classes; the worker is gone when the block ends."""
    crops = dataset.read(str(write_crops(folder / "crops")))
    settings = Settings(data=crops.root, budget_s=600.0, threads=1, offline=True)
    rundir = RunDir.create(folder / "run", data=folder / "crops")
    workers = WorkerPool([Worker()])
    workers.open(open_job(settings, rundir.path, crops, crops.pool))
    facts = SearchFacts(
        settings=settings,
        registry=registry.load(),
        strategies={},
        regime=regime.by_size(48, 3),
        counts=tuple(sum(i.label == k for i in crops.pool) for k in range(len(crops.classes))),
        test_images=len(crops.test),
        device="cpu",
        sizes={},
    )
    try:
        run = SearchRun(
            facts=facts,
            rundir=rundir,
            clock=clock.Clock(600.0),
            workers=workers,
            executor=workers,
            study=Study(rundir.study, 0),
            listener=Listener(),
            on_better=lambda run, trial: None,
        )
        run.describe(["pocket"])
        yield run
    finally:
        workers.close()


def taking(state: SearchState, fold_s: float) -> SearchState:
    """Return the state on a machine where a whole training of FULL on one fold takes so many seconds."""
    speeds = budget.MeasuredSpeeds()
    speeds.observe_training("full", "pocket", cost_model.card_s(state, FULL, state.fold_images), fold_s)
    speeds.passes.learn("pocket", 1.0, 1e-6)
    return replace(state, speeds=speeds)
