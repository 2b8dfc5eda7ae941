"""The study of a run: in its own file, or under a name in a team's database.

In: the settings of a run. Out: an open `Study`. Does NOT cover: what is stored (`study`), how it is written (`storage`).
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from advisor.records import Settings
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning.trials.study import Study


def fix_name(settings: Settings, rundir: RunDir) -> Settings:
    """Return the settings with the study's name and the mark of this run, if the study is in a team's database."""
    if not settings.storage:
        return settings
    mark = uuid.uuid4().hex
    return replace(settings, study=settings.study or f"{rundir.path.name}-{mark[:4]}", run=mark)


def open_run_study(settings: Settings, rundir: RunDir, listener: Listener) -> Study:
    """Open the study of a run: its own file, or the one in a team's database."""
    if not settings.storage:
        return Study(rundir.study, settings.seed)
    from advisor.tuning.trials.storage import Database, address

    database = Database(address(settings.storage) or settings.storage, listener.note)
    listener.note(f"study {settings.study} in {database.place}")
    return Study(database, settings.seed, name=settings.study, run=settings.run)
