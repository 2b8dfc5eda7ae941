"""A search of thousands of trials by many workers that sleep, on PostgreSQL, and what one draw of the sampler costs then."""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import postgres
import sleepers
from ground import SPAWN, fleet_of, offered, work, write
from photos import write_crops

from advisor.records import Candidate
from advisor.records.messages import RunTrial
from advisor.tuning.trials import sampler
from advisor.tuning.distributed.database import Database
from advisor.tuning.distributed.shared_study import SharedStudy


def simulated(trials: int, workers: int, each_s: float) -> None:
    """Search with many workers that sleep, in four processes, and measure what the coordinator and the database need."""
    server = postgres.Server().start()
    with tempfile.TemporaryDirectory() as folder:
        data = write_crops(Path(folder) / "crops", each=4)
        database = Database(server.url)
        study = SharedStudy(database, "simulated", 0, run="r", me="c", lease_s=60.0)
        offered(study, data)
        share = [workers // 4 + (i < workers % 4) for i in range(4)]
        hands = [
            SPAWN.Process(target=crowd, args=(server.url, str(data), each_s, count), daemon=True) for count in share
        ]
        for hand in hands:
            hand.start()
        marks: list[tuple[int, float, float]] = []
        began, used = time.monotonic(), time.process_time()

        def ended(end: Any) -> None:
            done = len(study.trials())
            if done % max(1, trials // 20) == 0:
                marks.append((done, time.monotonic() - began, time.process_time() - used))
                print(marks[-1], flush=True)
                if len(marks) > 3:  # what a run that is cut off has found
                    write("simulated", summary(trials, workers, each_s, marks, database_bytes(database)))

        sleepers.search(study, fleet_of(study, Path(folder)), trials, on_end=ended)
        study.close()
        size = database_bytes(database)
        study.leave()
        write("simulated", summary(trials, workers, each_s, marks, size))
        for hand in hands:
            hand.join(60)
    server.remove()


def draws() -> None:
    """Measure one draw behind so many trials: the first of a process, and each later one."""
    rows = []
    remembered = sampler.REMEMBERED
    for cap in (remembered, 10**9):
        sampler.REMEMBERED = cap
        for count in (100, 1000, 1900, 3000, 10000):
            memory = sampler.StudyMirror(0, [("pocket", 64)], {"full": sleepers.Rates()}, sleepers.context)
            begun = {number: drawn_by_hand(number) for number in range(count)}
            ended = {
                n: sleepers.scored(RunTrial(number=n, candidate=c, folds=(0,), repeat=0, seed=0, started_s=0.0))
                for n, c in begun.items()
            }
            before = time.process_time()
            memory.sample(begun, ended)
            first = time.process_time() - before
            before = time.process_time()
            for attempt in range(5):
                memory.sample(begun, ended, attempt=attempt + 1)
            each = (time.process_time() - before) / 5
            kept = "newest 1,000 to 2,000 and best 100" if cap == remembered else "all"
            rows.append({"remembered": kept, "trials": count, "first_s": round(first, 3), "each_s": round(each, 4)})
    write("sampler", {"cpu_seconds_of_a_draw": rows})


def drawn_by_hand(number: int) -> Candidate:
    """Give one random candidate."""
    draw = random.Random(number)
    parameters = {
        "rate": draw.uniform(0.01, 1.0),
        "depth": draw.randint(1, 8),
        "schedule": draw.choice(["cosine", "step"]),
    }
    return Candidate(backbone="pocket", strategy="full", parameters=parameters, size_px=64)


def crowd(url: str, data: str, each_s: float, count: int) -> None:
    """Be many workers in one process, one thread each."""
    hands = [threading.Thread(target=work, args=(url, "simulated", data, each_s, False)) for _ in range(count)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()


def database_bytes(database: Database) -> int:
    """Ask PostgreSQL how large the database is."""
    import sqlalchemy as sa

    with database.engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())


def summary(
    trials: int, workers: int, each_s: float, marks: list[tuple[int, float, float]], size: int
) -> dict[str, Any]:
    """Fit cost = a * trials ** k over the second half against the first."""
    import numpy as np

    counts = np.array([m[0] for m in marks], dtype=float)
    cpu = np.array([m[2] for m in marks])
    exponent = float(np.polyfit(np.log(counts[1:]), np.log(cpu[1:]), 1)[0]) if len(marks) > 3 else float("nan")
    steps = np.diff(np.concatenate([[0.0], cpu])) / np.diff(np.concatenate([[0.0], counts]))
    return {
        "trials_asked": trials,
        "trials": marks[-1][0],
        "workers": workers,
        "trial_s": each_s,
        "seconds": round(marks[-1][1], 1),
        "coordinator_cpu_s_per_trial": round(float(cpu[-1] / counts[-1]), 4),
        "first_and_last_twentieth": [round(float(steps[0]), 4), round(float(steps[-1]), 4)],
        "median_step": round(statistics.median(steps.tolist()), 4),
        "exponent_of_total_cpu": round(exponent, 2),
        "database_bytes": size,
        "database_bytes_per_trial": round(size / marks[-1][0]),
        "marks": [[m[0], round(m[1], 1), round(m[2], 1)] for m in marks],
    }
