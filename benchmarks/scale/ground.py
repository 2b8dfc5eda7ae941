"""What the measurements of this folder share: where results go, a database, workers whose trials sleep.

A trial sleeps and ends with a made-up score: the machinery is measured, not the cores. PostgreSQL is started in a
temporary directory on a loopback port and removed afterwards.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import sleepers  # noqa: E402

from advisor.data import dataset  # noqa: E402
from advisor.execution.worker_pool import WorkerPool  # noqa: E402
from advisor.records.messages import OpenDataset  # noqa: E402
from advisor.tuning.distributed.database import Database  # noqa: E402
from advisor.tuning.distributed.remote_pool import Fleet  # noqa: E402
from advisor.tuning.distributed.remote_worker import Recruit  # noqa: E402
from advisor.tuning.distributed.shared_study import SharedStudy, offer_of  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
SPAWN = multiprocessing.get_context("spawn")


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


def offered(study: SharedStudy, data: Path) -> None:
    """Let workers join with this data set."""
    found = dataset.read(str(data))
    items = tuple(i for i in found.items if i.split == "pool")
    job = OpenDataset(root=found.root, classes=found.classes, items=items, folds=5, seed=0, device="cpu", run_dir="")
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
    return Fleet(WorkerPool([]), study, folder, local=False, note=lambda text: None, invite=lambda weights: None)
