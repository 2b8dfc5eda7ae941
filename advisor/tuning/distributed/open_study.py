"""A run whose study stands in a shared database: opened at the start, offered to workers, closed at the end.

In: settings with a storage. Out: the study, and the fleet that runs its trials. The address with its password is read
from the environment each time and kept nowhere. Does NOT cover: the study itself (shared_study.py).
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import replace

from advisor.execution.worker_pool import WorkerPool
from advisor.records import Settings
from advisor.records.messages import OpenDataset
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning.distributed.remote_pool import Fleet
from advisor.tuning.study import Study


def named(settings: Settings, rundir: RunDir) -> Settings:
    """Fix the study's name and the run's own mark, where the study is shared."""
    if not settings.storage:
        return settings
    mark = uuid.uuid4().hex
    return replace(settings, study=settings.study or f"{rundir.path.name}-{mark[:4]}", run=mark)


def open_study(settings: Settings, rundir: RunDir, listener: Listener) -> Study:
    """Open the run's study: its own file, or the shared one. Raises InputError where another coordinator has it."""
    if not settings.storage:
        return Study(rundir.study, settings.seed)
    from advisor.tuning.distributed.database import Database, address
    from advisor.tuning.distributed.shared_study import SharedStudy

    database = Database(address(settings.storage) or settings.storage, listener.note)
    me = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
    study = SharedStudy(database, settings.study, settings.seed, run=settings.run, me=me, lease_s=settings.lease_s)
    listener.note(
        f"study {settings.study} in {database.place}; elsewhere: "
        f"tl-advise worker --storage {database.place} --study {settings.study} --data DATASET"
    )
    return study


def fleet(
    study: Study,
    crew: WorkerPool,
    settings: Settings,
    rundir: RunDir,
    job: OpenDataset,
    fingerprint: str,
    listener: Listener,
) -> Fleet | None:
    """Give the seats of a shared study, here and elsewhere; None for a study of one's own."""
    from advisor.tuning.distributed.shared_study import SharedStudy, offer_of

    if not isinstance(study, SharedStudy):
        return None

    def invite(weights: dict[str, str]) -> None:
        study.publish(offer_of(job, fingerprint, settings.test_split, weights, settings.lease_s))

    return Fleet(crew, study, rundir.path, local=settings.workers > 0, note=listener.note, invite=invite)
