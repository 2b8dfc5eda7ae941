"""The main job in one function; read this first.

    folder -> measure -> Profile -> classify -> Regime -> propose -> explore -> judge -> compose -> Recipe, Result

`_advise` calls these stages one after another; each saves its records in the run directory, and a resumed run reads what is
there and continues after it. Does NOT cover: how a stage works, which the modules that it calls own.
"""

from __future__ import annotations

import datetime
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from advisor import registry
from advisor._version import __version__
from advisor.aliases import NamedProgress
from advisor.data import changes, domains, profile, splits
from advisor.data.remote import urls
from advisor.data.similarity import joined_data
from advisor.data.splits import FOLDS
from advisor.data.tables import corrections, cost_file
from advisor.errors import DatasetError, InputError, Interrupted, OutputError
from advisor.execution import start
from advisor.execution.executor import TrialExecutor
from advisor.execution.worker import open_job
from advisor.execution.worker_pool import WorkerPool
from advisor.hooks import Backbone, Strategy
from advisor.records import Dataset, LeftOut, Profile, Regime, Result, Settings
from advisor.records.messages import Progress
from advisor.runtime import device
from advisor.runtime.clock import Clock, process_start
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir, default_folder
from advisor.selection import conclusion, frozen_candidates, objective_decision, result_builder
from advisor.selection.incumbent import IncumbentWriter
from advisor.tracking import relay, tracker
from advisor.tuning import availability, budget, candidates, experience, regime, search
from advisor.tuning.limits import fits_limits
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchFacts
from advisor.tuning.trials import open_study


@dataclass(frozen=True, kw_only=True)
class MeasuredData:
    """The data set as it is used, what was measured of it, and the time.time() before its files were read."""

    dataset: Dataset
    profile: Profile
    read_at_s: float


@dataclass(frozen=True, kw_only=True)
class Competitors:
    """The backbones with available weights, those without, and the strategies that may be used."""

    registry: registry.Registry
    backbones: list[Backbone]
    left_out: list[LeftOut]
    strategies: Mapping[str, Strategy]


def advise(
    settings: Settings,
    *,
    out: Path | None = None,
    listener: Listener | None = None,
    from_process_start: bool = True,
) -> tuple[Result, RunDir]:
    """Run the main job: from a folder of images to a result, with everything in a run directory.

    The clock starts with the process, or with this call. Raises AdviseError; Interrupted (the best result so far is kept).
    """
    settings = replace(settings, created_by=__version__)
    started = process_start() if from_process_start else time.monotonic()
    clock = Clock(settings.budget_s, started=started)
    listener = listener or Listener()
    listener.started(clock)
    cost_file.check_option(settings.objective)
    fits_limits.check(settings)
    tracker.check(settings.log)
    urls.check_exists(settings.data)
    domains.check_source(settings.source)
    data = urls.public_path(settings.data)
    rundir = RunDir.create(out or default_folder(data, datetime.datetime.now()), data=data)
    with rundir.begun():
        settings = open_study.fix_name(settings, rundir)
        rundir.write("run.json", settings)
        try:
            with rundir.resumable():
                return _advise(settings, rundir, clock, listener), rundir
        except InputError as error:
            # Of a full disk nothing is wrong with the call: with more space the run goes on.
            if not isinstance(error, OutputError) and not (rundir.path / "probes.json").exists():
                rundir.forget()  # nothing was computed yet: an invalid call leaves no run behind
            raise


def resume(
    path: Path,
    *,
    threads: int | None = None,
    device_name: str | None = None,
    offline: bool = False,
    listener: Listener | None = None,
) -> tuple[Result, RunDir]:
    """Continue a run that was stopped or killed; of a finished run return its result.

    `threads`, `device_name` and `offline` replace the run's own from here on. Raises DatasetError if the data changed since.
    """
    rundir = RunDir.open(path)
    settings = rundir.read("run.json", Settings)
    if settings is None:
        raise InputError(f"{path}: no run.json.")
    if settings.target is not None:
        raise InputError(
            f"{path}: an adapted run (--target {urls.public(settings.target)}) cannot be resumed.",
            hint=f"Start it again with another --out: {settings.command}",
        )
    settings = replace(
        settings,
        data=urls.found_again(settings.data, path),
        threads=threads or settings.threads,
        device=device_name or settings.device,
        offline=offline or settings.offline,
    )
    if (finished := rundir.final_result()) is not None:  # perhaps in a folder where nothing can be written
        return finished, rundir
    with rundir.locked(), rundir.resumable():
        if (finished := rundir.final_result()) is not None:  # another process has just ended it
            return finished, rundir
        clock = Clock(settings.budget_s, used_before_s=rundir.used_s(), started=process_start())
        listener = listener or Listener()
        listener.started(clock)
        return _advise(settings, rundir, clock, listener), rundir


def _advise(settings: Settings, rundir: RunDir, clock: Clock, listener: Listener) -> Result:
    """Run all stages, those that an earlier process completed from its records."""
    competitors = _competitors(settings)
    for note in availability.announce(competitors.backbones, settings):
        listener.note(note)
    rundir.log("start", at_s=clock.used_s, command=settings.command)
    try:
        with ExitStack() as stack:
            listener = stack.enter_context(relay.follow(listener, settings, rundir))
            budget.note_if_short(settings.budget_s, listener)
            workers = stack.enter_context(start.workers(settings, rundir.path, listener.note))
            cluster = start.connect(settings)
            study = open_study.open_run_study(settings, rundir, listener)
            measured = _measure(settings, rundir, listener)
            prior = _classify(measured.profile, settings)
            listener.profile(measured.profile, prior)
            facts, context = _propose(settings, rundir, workers, competitors, measured, prior, listener)
            writer = IncumbentWriter(frame=context, rundir=rundir)
            run = SearchRun(
                facts=facts,
                rundir=rundir,
                clock=clock,
                workers=workers,
                executor=stack.enter_context(_executor(cluster, workers, context, rundir, listener)),
                study=study,
                listener=listener,
                on_better=writer.update,
            )
            run.read_speeds(context.environment)
            if not frozen_candidates.is_frozen(run):
                search.explore(run, [b for b in competitors.backbones if facts.sizes[b.name]])
            result = conclusion.conclude(run, writer, measured.profile)
            listener.finished(result)
            return result
    except KeyboardInterrupt:
        with suppress(OSError):  # a full disk changes nothing about what the person wants
            rundir.log("interrupted", at_s=clock.used_s)
        state = f"The best so far is in {rundir.path}." if rundir.recipe.exists() else "There is no result yet."
        raise Interrupted(
            f"stopped. {state}", hint=f"`tl-advise resume {shlex.quote(str(rundir.path))}` continues it."
        ) from None


# ---- the stages --------------------------------------------------------------------------------------------------


def _competitors(settings: Settings) -> Competitors:
    """Return what may compete. Raises InputError, PluginError, WeightsError before any data are read."""
    plugins = registry.load(block=settings.plugins_blocked)
    strategies = availability.strategies(plugins, settings)
    backbones, left_out = availability.find(plugins, settings, strategies, searches=True)
    return Competitors(registry=plugins, backbones=backbones, left_out=left_out, strategies=strategies)


def _measure(settings: Settings, rundir: RunDir, listener: Listener) -> MeasuredData:
    """Read and decode the images, leave out what cannot be used, and write profile and split list.

    Raises DatasetError if nothing can be learned from them, or if they differ from those of an earlier process.
    """
    listener.stage("reading and checking the images")
    read_at_s = time.time()
    callbacks: dict[str, Any] = {"note": listener.note, "stage": listener.stage, "report": _progress(listener)}
    decoded = joined_data.read(settings, budget_s=settings.budget_s, **callbacks)
    data_set = corrections.for_run(decoded.dataset, settings.relabel, rundir.path, resumed=rundir.splits.exists())
    profile.check_learnable(data_set)
    measured = profile.measure(data_set, similar=decoded.similar)
    if settings.remove_leaks:
        data_set = profile.without_leaks(data_set, measured)
    profile.check_learnable(data_set)
    if rundir.splits.exists():
        _check_unchanged(data_set, rundir, settings)
    rundir.write("profile.json", measured)
    splits.write_csv(data_set, rundir.splits)
    return MeasuredData(dataset=data_set, profile=measured, read_at_s=read_at_s)


def _check_unchanged(data_set: Dataset, rundir: RunDir, settings: Settings) -> None:
    """Raise DatasetError if the data set is not the one that an earlier process of this run read."""
    different = changes.since_listed(rundir.splits, data_set)
    if different:
        raise DatasetError(
            f"{urls.public(settings.data)} has changed since this run began: {changes.describe(different)}.",
            hint=f"Restore the data to resume, or start a new run{f': {settings.command}' if settings.command else '.'}",
        )


def _classify(measured: Profile, settings: Settings) -> Regime:
    """Return the regime that the data suggest, or the one that was requested."""
    prior = regime.classify(measured)
    return prior if settings.regime is None else regime.override(prior, settings.regime)


def _propose(
    settings: Settings,
    rundir: RunDir,
    workers: WorkerPool,
    competitors: Competitors,
    measured: MeasuredData,
    prior: Regime,
    listener: Listener,
) -> tuple[SearchFacts, result_builder.RunContext]:
    """Fix what the search chooses from (input sizes, images within the budget), and open the data set in the workers."""
    data_set, backbones = measured.dataset, competitors.backbones
    suggested = {b.name: candidates.sizes(measured.profile, b, settings.size_px) for b in backbones}
    likely = device.likely(settings.device)
    used = budget.for_budget(data_set, settings.budget_s, likely, backbones, suggested, threads=settings.threads)
    spec = objective_decision.requested(settings, rundir, data_set.classes)
    opened = workers.open(open_job(settings, rundir.path, data_set, used.pool, objective=spec), listener.progress)
    sizes, costs = fits_limits.fit(
        settings, rundir, workers.first, backbones, suggested, images=len(used.pool), data=data_set, listener=listener
    )
    narrow = availability.narrow_choice(backbones, competitors.left_out)
    context = result_builder.RunContext(
        settings=settings,
        dataset=data_set,
        used=used,
        regime=prior,
        registry=competitors.registry,
        environment=opened.environment,
        folds=FOLDS,
        warnings=(*measured.profile.warnings, *used.warnings, *narrow),
        left_out=tuple(competitors.left_out),
        read_at_s=measured.read_at_s,
        objective=spec,
        experience=experience.of_run(settings, rundir),
    )
    return replace(_facts(context, competitors.strategies, sizes), costs=costs), context


def _facts(
    context: result_builder.RunContext, strategies: Mapping[str, Strategy], sizes: Mapping[str, tuple[int, ...]]
) -> SearchFacts:
    counts = Counter(item.label for item in context.used.pool)
    return SearchFacts(
        settings=context.settings,
        registry=context.registry,
        strategies=strategies,
        regime=context.regime,
        counts=tuple(counts[label] for label in range(len(context.dataset.classes))),
        test_images=len(context.used.test),
        device=context.environment.device,
        sizes=sizes,
        objective=context.objective,
        experience=context.experience,
    )


def _executor(
    cluster: Any, workers: WorkerPool, context: result_builder.RunContext, rundir: RunDir, listener: Listener
) -> AbstractContextManager[TrialExecutor]:
    job = open_job(context.settings, rundir.path, context.dataset, context.used.pool, objective=context.objective)
    return start.executor(cluster, workers, job, context.dataset, context.settings, context.registry, listener.note)


def _progress(listener: Listener) -> NamedProgress:
    return lambda what, done, total: listener.progress(Progress(what=what, done=done, total=total))
