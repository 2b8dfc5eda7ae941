"""Trials a minute with 1, 2 and 4 workers against linear: on this machine's own file, and through PostgreSQL."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import postgres
import sleepers
from ground import SPAWN, fleet_of, offered, work, write
from photos import write_crops

from advisor.execution.worker_pool import WorkerPool
from advisor.tuning.distributed.database import Database
from advisor.tuning.distributed.shared_study import SharedStudy
from advisor.tuning.trials.study import Study

WORKERS = (1, 2, 4)


def rate(trials: int, seconds: float, workers: int, each_s: float) -> dict[str, float]:
    """Say how near to linear it was."""
    return {
        "workers": workers,
        "trials_per_minute": round(60 * trials / seconds, 1),
        "of_linear": round(trials * each_s / workers / seconds, 3),
    }


def here(each_s: float, per_worker: int) -> None:
    """Measure workers of one machine on its own file."""
    rows = []
    for workers in WORKERS:
        with tempfile.TemporaryDirectory() as folder:
            study = Study(Path(folder) / "study.db", 0)
            seats = WorkerPool([sleepers.Sleeper(each_s) for _ in range(workers)])
            began = time.monotonic()
            sleepers.search(study, seats, per_worker * workers)
            rows.append(rate(per_worker * workers, time.monotonic() - began, workers, each_s))
    write("here", {"trial_s": each_s, "trials_per_worker": per_worker, "rows": rows})


def through_database(each_s: float, per_worker: int) -> None:
    """Measure workers in processes of their own on PostgreSQL."""
    rows = []
    server = postgres.Server().start()
    try:
        for workers in WORKERS:
            with tempfile.TemporaryDirectory() as folder:
                data = write_crops(Path(folder) / "crops", each=4)
                study = SharedStudy(Database(server.url), f"rate {workers}", 0, run="r", me="c", lease_s=60.0)
                offered(study, data)
                call = (server.url, study.name, str(data), each_s, True)
                hands = [SPAWN.Process(target=work, args=call) for _ in range(workers)]
                for hand in hands:
                    hand.start()
                fleet = fleet_of(study, Path(folder))
                while fleet._live < workers:  # starting processes is not what is measured
                    fleet._beat()
                    time.sleep(0.1)
                began = time.monotonic()
                sleepers.search(study, fleet, per_worker * workers)
                rows.append(rate(per_worker * workers, time.monotonic() - began, workers, each_s))
                study.close()
                for hand in hands:
                    hand.join()
                study.leave()
    finally:
        server.remove()
    write("database", {"trial_s": each_s, "trials_per_worker": per_worker, "rows": rows})
