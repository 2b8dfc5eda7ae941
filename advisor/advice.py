"""The whole story in one function; read this first.

    folder -> Dataset -> Profile -> Regime (prior) -> probes -> candidates -> trials -> verdict -> refit -> Recipe

Each record is saved in the run directory as it appears; a resume reads what is there and goes on behind it. Does NOT
cover how any step is done: every line below calls the module that owns it.
"""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from advisor import registry
from advisor._version import __version__
from advisor.data import dataset, profile, splits
from advisor.data.splits import FOLDS
from advisor.errors import InputError, Interrupted
from advisor.execution.worker import Worker, open_job
from advisor.execution.worker_pool import WorkerPool
from advisor.hooks import Backbone, Strategy
from advisor.records import Dataset, LeftOut, Profile, Regime, Result, Settings, Trial
from advisor.records.messages import Progress
from advisor.runtime import cache, device, durations
from advisor.runtime.clock import Clock, process_start
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir, default_place
from advisor.selection import result_builder
from advisor.selection.finalize import finish
from advisor.selection.incumbent import IncumbentWriter
from advisor.tuning import availability, budget, candidates, cost_model, policy, regime, search
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchFacts
from advisor.tuning.trials.study import Study

if TYPE_CHECKING:
    from advisor.aliases import CountProgress


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is known before any network runs."""

    dataset: Dataset
    profile: Profile
    regime: Regime


def advise(
    settings: Settings,
    *,
    out: Path | None = None,
    listener: Listener | None = None,
    from_process_start: bool = True,
) -> tuple[Result, RunDir]:
    """Run the main job: from a folder of images to a result, with everything in a run directory.

    The clock starts with the process, or with this call. Raises AdviseError; Interrupted where a person stopped it, the
    best so far kept.
    """
    settings = replace(settings, created_by=__version__)
    started = process_start() if from_process_start else time.monotonic()
    clock = Clock(settings.budget_s, started=started)
    listener = listener or Listener()
    listener.started(clock)
    data = Path(settings.data)
    if not data.exists():
        raise InputError(
            f"{settings.data}: no such folder or file.", hint="Name a folder with one folder per class, or a CSV file."
        )
    place = out or default_place(data, datetime.datetime.now())
    rundir = RunDir.create(place, data=data)
    settings = _with_study_name(settings, rundir)
    rundir.write("run.json", settings)
    try:
        with rundir.locked():
            return _work(settings, rundir, clock, listener), rundir
    except InputError:
        if not rundir.study.exists() and not (rundir.path / "probes.json").exists():
            rundir.forget()  # a call at fault leaves no run behind
        raise


def resume(path: Path, *, listener: Listener | None = None) -> tuple[Result, RunDir]:
    """Go on with a run that was stopped or killed; a finished run gives its result again."""
    rundir = RunDir.open(path)
    settings = rundir.read("run.json", Settings)
    if settings is None:
        raise InputError(f"{path}: no run.json.")
    if settings.target is not None:
        raise InputError(
            f"{path}: an adapted run (--target {settings.target}) cannot be resumed.",
            hint=f"Start it again with another --out: {settings.command}",
        )
    with rundir.locked():
        done = rundir.read("result.json", Result)
        if done is not None and done.status == "final":
            return done, rundir
        clock = Clock(settings.budget_s, used_before_s=rundir.used_s(), started=process_start())
        listener = listener or Listener()
        listener.started(clock)
        return _work(settings, rundir, clock, listener), rundir


def _work(settings: Settings, rundir: RunDir, clock: Clock, listener: Listener) -> Result:
    plugins = registry.load(block=settings.plugins_blocked)
    strategies = _strategies(plugins, settings)
    reachable, left_out = availability.find(plugins, settings, strategies)
    rundir.log("start", at_s=clock.used_s, command=settings.command)
    workers = _start_workers(settings, rundir, listener)
    try:
        study = _open_study(settings, rundir, listener)
        look = _look(settings, rundir, listener)
        sizes = {b.name: candidates.sizes(look.profile, b, settings.size_px) for b in reachable}
        used = budget.for_budget(look.dataset, settings.budget_s, device.likely(settings.device), reachable, sizes)
        opened = workers.open(open_job(settings, rundir.path, look.dataset, used.pool), listener.progress)
        warnings = (*look.profile.warnings, *used.warnings, *_left_out_warning(reachable, left_out))
        frame = result_builder.RunContext(
            settings=settings,
            dataset=look.dataset,
            used=used,
            regime=look.regime,
            registry=plugins,
            environment=opened.environment,
            folds=FOLDS,
            warnings=warnings,
            left_out=tuple(left_out),
        )
        kept = IncumbentWriter(frame=frame, rundir=rundir)
        run = _search_run(kept, _facts(frame, strategies, sizes), workers, study, clock, listener)
        if not rundir.candidates.exists():
            search.explore(run, reachable)
        return finish(run, kept, look.profile)
    except KeyboardInterrupt:
        rundir.log("interrupted", at_s=clock.used_s)
        raise _interrupted(rundir) from None
    finally:
        workers.close()


def _note_a_short_budget(settings: Settings, listener: Listener) -> None:
    if settings.budget_s is not None and settings.budget_s < budget.FLOOR_S:
        listener.note(
            f"a budget of {durations.words(settings.budget_s)} is shorter than the minimum of about "
            f"{durations.words(budget.FLOOR_S)} (start-up, one probe on a sample, the test), which is done anyway"
        )


def _interrupted(rundir: RunDir) -> Interrupted:
    state = f"The best so far is in {rundir.path}." if rundir.recipe.exists() else "There is no result yet."
    return Interrupted(f"stopped. {state}", hint=f"`tl-advise resume {rundir.path}` continues it.")


def _start_workers(settings: Settings, rundir: RunDir, listener: Listener) -> WorkerPool:
    """Make the workers, each on a GPU of its own as far as there are some, and start the first."""
    _note_a_short_budget(settings, listener)
    if settings.workers > 1 and settings.workers * (settings.threads or 1) > device.cores():
        listener.note(
            f"{settings.workers} workers share {device.cores()} processor cores and will slow each other down"
        )
    places = device.places(settings.device, max(1, settings.workers))  # one probes and refits even where none trains
    workers = WorkerPool([Worker(log=str(rundir.path / "worker.log"), environment=place) for place in places])
    workers.first.start()  # torch loads while the folder is read
    return workers


def _strategies(plugins: registry.Registry, settings: Settings) -> dict[str, Strategy]:
    for name in settings.strategies:
        plugins.strategy(name)
    asked = regime.override(regime.by_size(0, 1), settings.regime).name if settings.regime else None
    found = candidates.selectable(plugins.strategies, settings.strategies, asked)
    if not found:
        raise InputError("no strategy remains to choose from.", hint="See `tl-advise plugins`.")
    return found


def _look(settings: Settings, rundir: RunDir, listener: Listener) -> Look:
    listener.stage("reading and checking the images")
    found = dataset.read(settings.data, test_split=settings.test_split, progress=_told(listener, "read"))
    profile.check_learnable(found)
    measured = profile.measure(found, deep=True, store=cache.Store(), progress=_told(listener, "decode"))
    found = profile.set_aside(found, measured.unreadable)
    if settings.remove_leaks:
        found = profile.without_leaks(found, measured)
    profile.check_learnable(found)
    prior = regime.classify(measured)
    if settings.regime is not None:
        prior = regime.override(prior, settings.regime)
    rundir.write("profile.json", measured)
    splits.write_csv(found, rundir.splits)
    listener.profile(measured, prior)
    return Look(dataset=found, profile=measured, regime=prior)


def _told(listener: Listener, what: str) -> CountProgress:
    return lambda done, total: listener.progress(Progress(what=what, done=done, total=total))


def _with_study_name(settings: Settings, rundir: RunDir) -> Settings:
    """Fix the study's name, and the mark of this run, where the study stands in a team's database."""
    if not settings.storage:
        return settings
    mark = uuid.uuid4().hex
    return replace(settings, study=settings.study or f"{rundir.path.name}-{mark[:4]}", run=mark)


def _open_study(settings: Settings, rundir: RunDir, listener: Listener) -> Study:
    """Open the run's study: its own file, or the one in a team's database."""
    if not settings.storage:
        return Study(rundir.study, settings.seed)
    from advisor.tuning.trials.storage import Database, address

    database = Database(address(settings.storage) or settings.storage, listener.note)
    listener.note(f"study {settings.study} in {database.place}")
    return Study(database, settings.seed, name=settings.study, run=settings.run)


def _facts(
    frame: result_builder.RunContext, strategies: Mapping[str, Strategy], sizes: Mapping[str, tuple[int, ...]]
) -> SearchFacts:
    counts = [0] * len(frame.dataset.classes)
    for item in frame.used.pool:
        counts[item.label] += 1
    return SearchFacts(
        settings=frame.settings,
        registry=frame.registry,
        strategies=strategies,
        regime=frame.regime,
        counts=tuple(counts),
        test_images=len(frame.used.test),
        device=frame.environment.device,
        sizes=sizes,
    )


def _search_run(
    kept: IncumbentWriter, facts: SearchFacts, workers: WorkerPool, study: Study, clock: Clock, listener: Listener
) -> SearchRun:
    return SearchRun(
        facts=facts,
        rundir=kept.rundir,
        clock=clock,
        workers=workers,
        executor=workers,
        study=study,
        listener=listener,
        on_better=partial(_keep_incumbent, kept),
    )


def _keep_incumbent(kept: IncumbentWriter, run: SearchRun, trial: Trial) -> None:
    """Put the best so far on disk, unless training it anew for that took a good part of the time that is left."""
    if run.facts.has_deadline and run.rundir.recipe.exists() and not run.facts.trains_backbone(trial.candidate):
        state = run.state()
        if cost_model.train_s(state, trial.candidate, state.images) > policy.INCUMBENT_REFIT_SHARE * state.left_s:
            return
    kept.keep(run.worker, trial, run.study.trials(), run.clock.used_s)
    run.listener.kept(trial)


def _left_out_warning(reachable: list[Backbone], left_out: list[LeftOut]) -> list[str]:
    """Say it where the choice of backbones was narrow: only what is built in could be reached."""
    from advisor.models.pretrained_weights import as_weights

    built_in = [b for b in reachable if (w := as_weights(b)) is not None and w.path]
    if len(built_in) != len(reachable) or not left_out:
        return []
    best = next((item for item in left_out if item.backbone == "mobilenet_v2"), left_out[0])
    return [
        f"the built-in backbone {built_in[0].name} was used because no other weights are available; "
        f"`{best.command}` adds a stronger one"
    ]
