"""How the machinery of a search grows: trials that sleep, on workers here, through a database, and by the thousand.

    python benchmarks/scale/search.py here        # trials a minute with 1, 2 and 4 workers on this machine
    python benchmarks/scale/search.py database    # the same through PostgreSQL, workers in processes of their own
    python benchmarks/scale/search.py simulated --trials 10000 --workers 100
    python benchmarks/scale/search.py sampler     # seconds of CPU for one draw, with all trials and with those remembered
    python benchmarks/scale/search.py faults      # 40 trials, 4 workers, one killed every few seconds, one restart

Each writes benchmarks/results/scale_<name>.json. A trial sleeps and ends with a made-up score: the machinery is
measured, not the cores. PostgreSQL is started in a temporary directory on a loopback port and removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import postgres  # noqa: E402
import sleepers  # noqa: E402
from photos import write_crops  # noqa: E402

from advisor import dataset, sampler  # noqa: E402
from advisor.crew import Crew  # noqa: E402
from advisor.database import Database  # noqa: E402
from advisor.fleet import Fleet  # noqa: E402
from advisor.records import Candidate  # noqa: E402
from advisor.records.jobs import Open, RunTrial  # noqa: E402
from advisor.recruit import Recruit  # noqa: E402
from advisor.shared_study import SharedStudy, offer_of  # noqa: E402
from advisor.study import Study  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
LEASE_S = 5.0


def write(name: str, found: dict[str, Any]) -> None:
    """Keep what was found, with the command and the machine."""
    found = {
        "command": " ".join(["python", "benchmarks/scale/search.py", *sys.argv[1:]]),
        "cores": os.cpu_count(),
        **found,
    }
    found["load"] = os.getloadavg()[0]
    (RESULTS / f"scale_{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


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
    for workers in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            study = Study(Path(folder) / "study.db", 0)
            seats = Crew([sleepers.Sleeper(each_s) for _ in range(workers)])
            began = time.monotonic()
            sleepers.search(study, seats, per_worker * workers)
            rows.append(rate(per_worker * workers, time.monotonic() - began, workers, each_s))
    write("here", {"trial_s": each_s, "trials_per_worker": per_worker, "rows": rows})


def offered(study: SharedStudy, data: Path) -> None:
    """Let workers join with this data set."""
    found = dataset.read(str(data))
    items = tuple(i for i in found.items if i.split == "pool")
    job = Open(root=found.root, classes=found.classes, items=items, folds=5, seed=0, device="cpu", run_dir="")
    study.publish(offer_of(job, found.fingerprint, "auto", {}, study.lease_s))


def work(url: str, name: str, data: str, each_s: float, logits: bool) -> None:
    """Be one worker, in a process of its own."""
    Recruit(
        database=Database(url),
        name=name,
        data=data,
        open_worker=lambda job, offer: sleepers.Sleeper(each_s, Path(job.run_dir) if logits else None),
        wait_s=60.0,
    ).serve()


def fleet_of(study: SharedStudy, folder: Path) -> Fleet:
    """Give the coordinator's seats: none here."""
    (folder / "trials").mkdir(exist_ok=True)
    return Fleet(Crew([]), study, folder, local=False, note=lambda text: None, invite=lambda weights: None)


def through_database(each_s: float, per_worker: int) -> None:
    """Measure workers in processes of their own on PostgreSQL."""
    rows = []
    server = postgres.Server().start()
    context = multiprocessing.get_context("spawn")
    try:
        for workers in (1, 2, 4):
            with tempfile.TemporaryDirectory() as folder:
                data = write_crops(Path(folder) / "crops", each=4)
                study = SharedStudy(Database(server.url), f"rate {workers}", 0, run="r", me="c", lease_s=60.0)
                offered(study, data)
                call = (server.url, study.name, str(data), each_s, True)
                hands = [context.Process(target=work, args=call) for _ in range(workers)]
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


def faults(each_s: float) -> None:
    """Kill a random worker every few seconds and restart the database once: 40 trials must end, none twice."""
    server = postgres.Server().start()
    context = multiprocessing.get_context("spawn")
    draws, killed, told = random.Random(0), 0, []
    runs: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        data = write_crops(Path(folder) / "crops", each=4)
        study = SharedStudy(Database(server.url, told.append), "faults", 0, run="r", me="c", lease_s=LEASE_S)
        offered(study, data)
        over = threading.Event()
        hands: list[Any] = []

        def hire() -> None:
            hand = context.Process(target=work, args=(server.url, "faults", str(data), each_s, True), daemon=True)
            hand.start()
            hands.append(hand)

        def trouble() -> None:
            nonlocal killed
            rounds = 0
            while not over.wait(4.0):
                rounds += 1
                victim = draws.choice([h for h in hands if h.is_alive()])
                os.kill(victim.pid, signal.SIGKILL)
                killed += 1
                hire()
                if rounds == 3:
                    server.stop()
                    time.sleep(3.0)
                    server.start()

        for _ in range(4):
            hire()
        disturber = threading.Thread(target=trouble)
        disturber.start()
        began = time.monotonic()
        sleepers.search(study, fleet_of(study, Path(folder)), 40, on_end=lambda ended: runs.append(ended.order.number))
        seconds = time.monotonic() - began
        over.set()
        disturber.join()
        study.close()
        for hand in hands:
            hand.join(30)
        study.leave()
        complete = [t for t in study.trials() if t.state == "complete"]
        write(
            "faults",
            {
                "seconds": round(seconds, 1),
                "workers_killed": killed,
                "restarts": 1,
                "trials_begun": len(study.candidates()),
                "complete": len(complete),
                "lost_and_begun_again": len(study.candidates()) - study.counted,
                "failed_for_good": study.counted - len(complete),
                "told_twice": len(runs) - len(set(runs)),
                "notes": told,
            },
        )
    server.remove()


def simulated(trials: int, workers: int, each_s: float) -> None:
    """Search with many workers that sleep, in four processes, and measure what the coordinator and the database need."""
    server = postgres.Server().start()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        data = write_crops(Path(folder) / "crops", each=4)
        database = Database(server.url)
        study = SharedStudy(database, "simulated", 0, run="r", me="c", lease_s=60.0)
        offered(study, data)
        share = [workers // 4 + (i < workers % 4) for i in range(4)]
        hands = [
            context.Process(target=crowd, args=(server.url, str(data), each_s, count), daemon=True) for count in share
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
            memory = sampler.Memory(0, [("pocket", 64)], {"full": sleepers.Rates()}, sleepers.context)
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


def main() -> None:
    """Read the call."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["here", "database", "simulated", "sampler", "faults"])
    parser.add_argument("--trials", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--trial-s", type=float, default=2.0, help="how long a trial sleeps")
    parser.add_argument("--per-worker", type=int, default=15, help="trials for each worker")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that the server goes as well
    if asked.what == "here":
        here(asked.trial_s, asked.per_worker)
    elif asked.what == "database":
        through_database(asked.trial_s, asked.per_worker)
    elif asked.what == "sampler":
        draws()
    elif asked.what == "faults":
        faults(asked.trial_s)
    else:
        simulated(asked.trials, asked.workers, asked.trial_s)


if __name__ == "__main__":
    main()
