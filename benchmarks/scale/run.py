"""Measure the executor on Ray: `python benchmarks/scale/run.py {rates,faults,many} [--out FILE]` (3, 3 and 8 minutes).

rates: trials per minute with 1, 2 and 4 actors beside linear, CPU seconds of the coordinator per trial. faults: 40 trials, 4
actors on 2 nodes, an actor killed after every fourth end and one node removed. many: 10,000 trials by 100 actors (8 GB),
and how the coordinator's CPU grows. A trial sleeps and ends with a made-up score; study, sampler and executor are the real
ones. Needs `tl-advise[ray]`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import ray  # noqa: E402
import sleepers  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from advisor.execution.executor import Ended  # noqa: E402
from advisor.execution.ray_cluster.actor import ShippedTrial  # noqa: E402
from advisor.execution.ray_cluster.executor import ClusterSlots, RayExecutor  # noqa: E402
from advisor.records import Trial  # noqa: E402
from advisor.records.messages import RunTrial  # noqa: E402
from advisor.tuning.trials.study import Study  # noqa: E402

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
STORE_BYTES = 200 * 2**20
NODE_CPUS = 2.0
MANY_ACTORS, MANY_MARKS = 100, (1000, 2500, 5000, 10_000)


class SleepingActor:
    """An actor whose trials sleep."""

    def open(self, seconds: float) -> dict[str, str]:
        """Remember how long a trial takes."""
        self.seconds = seconds
        return {}

    def run(self, job: RunTrial) -> ShippedTrial:
        """Sleep, and score the job by what it asks for."""
        import sleepers

        time.sleep(self.seconds)
        return ShippedTrial(trial=sleepers.scored(job), files={})


class Shipping:
    """Ships a job as it is."""

    environment: dict[str, str] = {}  # noqa: RUF012 (read only)

    def __init__(self, seconds: float) -> None:
        self.opening = (seconds,)

    def ship(self, job: RunTrial, rule: Any = None) -> RunTrial:
        """Return the job."""
        return job

    def receive(self, shipped: ShippedTrial) -> None:
        """Drop the files."""


def executor(actors: int, seconds: float, nodes: int = 1) -> RayExecutor:
    """Start so many actors."""
    slots = ClusterSlots(most=actors, threads=NODE_CPUS * nodes / actors, gpus=0.0)
    shipping: Any = Shipping(seconds)
    return RayExecutor(ray, shipping, slots, lambda text: print(f"  {text}", file=sys.stderr), actor=SleepingActor)


def cpu_s() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ready(trials: RayExecutor) -> None:
    """Wait until every actor has opened: starting a process is no part of a rate."""
    while any(slot.question is not None for slot in trials._slots):
        trials.poll(lambda progress: None)


def rates(cluster: Cluster, folder: Path) -> Any:
    """Measure trials per minute beside linear."""
    rows = []
    for actors in (1, 2, 4):
        trials, seconds, count = executor(actors, 2.0), 2.0, 15 * actors
        ready(trials)
        study, began, cpu = Study(folder / f"{actors}.db", 0), time.monotonic(), cpu_s()
        sleepers.search(study, trials, count)
        taken = time.monotonic() - began
        stop(trials)
        rate, linear = 60 * count / taken, 60 * actors / seconds
        rows.append(
            {"actors": actors, "per_minute": rate, "of_linear": rate / linear, "cpu_s": (cpu_s() - cpu) / count}
        )
    return rows


def stop(trials: RayExecutor) -> None:
    """End the actors and stay connected."""
    for slot in list(trials._slots):
        trials._drop(slot)


def faults(cluster: Cluster, folder: Path) -> Any:
    """Kill a random actor after every fourth end, remove a node after the twelfth, and count the ends of every trial."""
    second = cluster.add_node(num_cpus=NODE_CPUS, object_store_memory=STORE_BYTES)
    trials, draw = executor(4, 1.0, nodes=2), random.Random(0)
    ready(trials)
    ends: Counter[int] = Counter()
    complete = killed = 0

    def on_end(ended: Ended) -> None:
        nonlocal complete, killed
        ends[ended.job.number] += 1
        complete += isinstance(ended.outcome, Trial)
        busy = [slot for slot in trials._slots if slot.job is not None]
        if sum(ends.values()) % 4 == 0 and busy:
            ray.kill(draw.choice(busy).actor, no_restart=True)
            killed += 1
        if sum(ends.values()) == 12:
            cluster.remove_node(second)

    began = time.monotonic()
    sleepers.search(Study(folder / "faults.db", 0), trials, 40, on_end=on_end)
    return {
        "complete": complete,
        "told_twice": sum(n > 1 for n in ends.values()),
        "actors_killed": killed,
        "nodes_removed": 1,
        "seconds": time.monotonic() - began,
    }


def many(cluster: Cluster, folder: Path) -> Any:
    """Run 10,000 trials by 100 actors; the coordinator's CPU seconds and peak memory on the way."""
    trials, began = executor(MANY_ACTORS, 3.0), time.monotonic()
    ready(trials)
    opened_s, cpu, marks, ended_count = time.monotonic() - began, cpu_s(), [], 0
    began = time.monotonic()

    def on_end(ended: Ended) -> None:
        nonlocal ended_count
        ended_count += 1
        if ended_count in MANY_MARKS:
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            marks.append(
                {"trials": ended_count, "cpu_s": cpu_s() - cpu, "seconds": time.monotonic() - began, "peak_mb": peak_mb}
            )
            print(f"  {marks[-1]}", file=sys.stderr, flush=True)

    sleepers.search(Study(folder / "many.db", 0), trials, MANY_MARKS[-1], on_end=on_end)
    growth = math.log(marks[-1]["cpu_s"] / marks[0]["cpu_s"]) / math.log(MANY_MARKS[-1] / MANY_MARKS[0])
    return {"actors": MANY_ACTORS, "start_s": opened_s, "marks": marks, "exponent": growth}


def main() -> None:
    """Run one measurement and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rates", "faults", "many"])
    parser.add_argument("--out", type=Path)
    call = parser.parse_args()
    head = {"num_cpus": NODE_CPUS, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    search_path = {"env_vars": {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"}}
    ray.init(address=cluster.address, log_to_driver=False, runtime_env=search_path)
    with tempfile.TemporaryDirectory() as folder:
        measured = {call.what: {"rates": rates, "faults": faults, "many": many}[call.what](cluster, Path(folder))}
    print(json.dumps(measured, indent=1))
    if call.out is not None:
        call.out.write_text(json.dumps(measured, indent=1) + "\n")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
