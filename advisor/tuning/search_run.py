"""One search in progress: its study, workers and clock. Every change of its state goes through this module.

In: facts, where trials run, where they are written down. Out: snapshots (`state`) for what predicts or decides; trials and
probes on disk, each before the next step that builds on it. Does NOT cover: what to try (`decisions`), the loop (`search`).
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from advisor import plugin_guard
from advisor.errors import OutOfTimeError, WorkerLostError
from advisor.execution import job_limit
from advisor.execution.executor import TrialExecutor
from advisor.execution.worker import Worker
from advisor.execution.worker_pool import WorkerPool
from advisor.records import Candidate, StoppedBecause, Trial, Untried
from advisor.records.messages import Answer, Describe, Description, Job
from advisor.records.result import Environment
from advisor.records.trials import DEFAULT
from advisor.registry import FIRST_PARTY
from advisor.runtime import contention, durations
from advisor.runtime.clock import Clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning import budget, policy, pruner
from advisor.tuning.faults.fault import Fault
from advisor.tuning.search_state import SearchFacts, SearchState
from advisor.tuning.trials import sampler, speeds_file
from advisor.tuning.trials.study import Study

A = TypeVar("A", bound=Answer)


@dataclass(kw_only=True)
class SearchRun:
    """The moving parts of one search. `workers` does what is no trial, `executor` runs trials; `on_better` is called with a
    trial that beat all before it.
    """

    facts: SearchFacts
    rundir: RunDir
    clock: Clock
    workers: WorkerPool
    executor: TrialExecutor
    study: Study
    listener: Listener
    on_better: Callable[[SearchRun, Trial], None]
    probes: list[Trial] = field(default_factory=list)
    backbones: dict[str, Description] = field(default_factory=dict)
    speeds: budget.MeasuredSpeeds = field(default_factory=budget.MeasuredSpeeds)
    machine: str = ""  # what they are measured on
    stopped: StoppedBecause | None = None
    untried: tuple[Untried, ...] = ()
    predicted_s: float | None = None  # of the whole run, where only its number of trials is limited
    first_contention: float | None = None  # at the first probe
    faults: list[Fault] = field(default_factory=list)  # what fails in its own code and is left out
    deaths: int = 0  # of worker processes, since the last job or trial that ended well

    def state(self) -> SearchState:
        """Return what is known at this moment."""
        first = self.study.first()

        return SearchState(
            **vars(self.facts),
            backbones=dict(self.backbones),
            probes=tuple(p for p in self.probes if not self.cannot_win(p)),
            trials=tuple(t for t in self.study.trials() if not self.cannot_win(t)),
            left_out=frozenset((f.backbone, f.size_px) for f in self.faults if f.backbone),
            begun=tuple(self.study.candidates()),
            tried_keys=self.study.keys,
            default=first if first is not None and is_default(first) and not self.cannot_win(first) else None,
            speeds=self.speeds,
            left_s=self.clock.left_s,
        )

    def is_left_out(self, backbone: str) -> bool:
        """Return True if a network is left out altogether, since its code failed."""
        return any(f.backbone == backbone and f.size_px is None for f in self.faults)

    def cannot_win(self, trial: Trial) -> bool:
        """Return True if the network of a trial is left out, or the trial itself since it cannot be trained on all images."""
        return self.is_left_out(trial.candidate.backbone) or any(trial.number in f.trials for f in self.faults)

    # ---- work that is no trial -----------------------------------------------------------------------------------

    @property
    def worker(self) -> Worker:
        """The worker that does what is no trial: the first one, or while that is busy any that is not."""
        return self.workers.idle or self.workers.first

    def ask(self, job: Job, kind: type[A], *, deadline: float | None = None, restarts: int | None = None) -> A:
        """Run a job that is no trial and return its answer, begun again where the process died with it.

        That is `restarts` times, by default as long as the search makes progress. Raises what the job raised; OutOfTimeError;
        WorkerLostError where the process died too often.
        """
        tries = 0
        while True:
            try:
                reply = self.worker.ask(job, kind, self.listener.progress, deadline=deadline)
            except WorkerLostError as error:  # memory may have run short, somebody may have cut a cache file
                tries += 1
                if restarts is not None and tries > restarts:
                    raise
                self.restart_after(error)
            else:
                self.deaths = 0
                return reply

    def _wait_for_worker(self) -> None:
        """Wait until the worker has opened the data set; where one was ended, that is not the next network's time."""
        worker = self.worker
        opened = worker.opened
        if worker.connection is None and opened is not None:
            try:
                worker.open(opened, self.listener.progress)
            finally:
                worker.opened = opened

    def restart_after(self, error: WorkerLostError) -> None:
        """Pause before a worker that died is started again, longer each time while nothing ends well.

        Raises WorkerLostError with the command that goes on, once that was so too often.
        """
        self.deaths += 1
        if self.deaths > policy.MAX_WORKER_DEATHS:
            raise WorkerLostError(
                f"{error.what} It died {self.deaths} times in a row and nothing ended in between.",
                hint=f"{error.hint} Then continue with `tl-advise resume {shlex.quote(str(self.rundir.path))}`.".strip(),
            )
        pause_s = min(policy.FIRST_RESTART_PAUSE_S * 2 ** (self.deaths - 1), max(0.0, self.clock.left_s))
        self.listener.note(f"{error} It is started again in {durations.words(pause_s)}.")
        time.sleep(pause_s)

    def describe(self, names: Iterable[str]) -> None:
        """Measure the shapes of these backbones in a worker, each once: what contexts and predictions are made from."""
        for name in names:
            if name not in self.backbones:
                self.backbones[name] = self.ask_about(name, Describe(backbone=name), Description)

    def ask_about(self, backbone: str, job: Job, kind: type[A], *, limit_s: float | None = None) -> A:
        """Run a first look at a network; `limit_s` is when its worker gives it up by itself.

        With a deadline, a third-party network that does not end then, or without a limit within a share of the time left, is
        ended: its code may wait for ever. Raises what `ask` raises; BackboneError where it was ended.
        """
        restarts = self.restarts(backbone)
        if restarts is None or not self.facts.has_deadline:
            return self.ask(job, kind, restarts=restarts)
        self._wait_for_worker()
        share = policy.THIRD_PARTY_LOOK_SHARE if isinstance(job, Describe) else policy.THIRD_PARTY_PROBE_SHARE
        longest_s = share * self.clock.left_s
        if limit_s is not None:
            longest_s = min(longest_s, job_limit.ended_after_s(limit_s))
        try:
            return self.ask(job, kind, deadline=time.monotonic() + max(longest_s, 1.0), restarts=restarts)
        except OutOfTimeError as error:
            plugin = str(self.facts.registry.plugin(backbone))
            raise plugin_guard.backbone_error(backbone, plugin, f"it did not end within {longest_s:.0f} s") from error

    def restarts(self, backbone: str) -> int | None:
        """Return how often a worker that dies at its first look at a network is started again; None for our own."""
        own = self.facts.registry.origin(backbone)[0] == FIRST_PARTY
        return None if own else policy.THIRD_PARTY_RESTARTS

    def observe_slowdown(self) -> None:
        """With a deadline, measure how much slower the machine is than at the first probe: half of it counts at once."""
        if not self.facts.has_deadline:
            return
        now = contention.measure()
        if self.first_contention is None:
            self.first_contention = self.speeds.first_contention = now
        before = self.speeds.slowdown
        self.speeds.slowdown += policy.SLOWDOWN_WEIGHT * (now / self.first_contention - before)
        if abs(self.speeds.slowdown / before - 1) > policy.SLOWDOWN_LOGGED:
            self.rundir.log("pace", at_s=self.clock.used_s, slowdown=round(self.speeds.slowdown, 2))

    def read_speeds(self, environment: Environment) -> None:
        """Go on with the speeds that an earlier process measured, if it ran on the same machine, device and threads.

        With a deadline, how busy the machine is now is measured against the earlier process's first probe.
        """
        self.machine = speeds_file.machine(environment)
        self.speeds = speeds_file.read(self.rundir, self.machine)
        if self.speeds.passes.by_name:
            self.first_contention = self.speeds.first_contention
            for _ in range(policy.LAST_READINGS):
                self.observe_slowdown()

    def write_speeds(self) -> None:
        """Write the measured speeds down, for a resume."""
        speeds_file.write(self.rundir, self.machine, self.speeds)

    # ---- what becomes known --------------------------------------------------------------------------------------

    def begin(self, candidate: Candidate) -> int:
        """Write a trial down as begun and return its number."""
        self.describe([candidate.backbone])
        registry = self.facts.registry
        backbone_names = sorted({*registry.backbones, *self.backbones})  # also those that a plugin resolved by name
        names = {"backbone": tuple(backbone_names), "strategy": tuple(registry.strategies)}
        context = self.state().context(candidate.backbone, candidate.size_px)
        parameters = sampler.shown(candidate, names, self.facts.strategy_of(candidate), context)
        return self.study.begin(candidate, parameters)

    def record_probes(self, trials: Sequence[Trial]) -> None:
        """Write the probes of one backbone and size down, all together: after a kill it is probed or not probed."""
        best, now_s = self.state().best(), self.clock.used_s
        trials = [replace(t, started_s=max(0.0, now_s - t.seconds)) for t in trials]
        complete = [t for t in trials if t.state == "complete"]
        self.probes.extend(complete)
        self.rundir.write("probes.json", self.probes)
        for trial in trials:
            best = trial if self._is_better(trial, best) else best
            self._announce(trial, best, "probe")
        if best is not None and best in complete:
            self.on_better(self, best)

    def record_trial(self, trial: Trial) -> None:
        """Write a trial's end down, announce it, and hand it on where it is the best so far."""
        before = self.state().best()
        self.study.finish(trial)
        self.observe_slowdown()
        pruner.tidy(self.rundir, self.study.trials(), self.study.candidates())
        better = self._is_better(trial, before)
        self._announce(trial, trial if better else before, "trial")
        if better:
            self.on_better(self, trial)

    def _is_better(self, trial: Trial, best: Trial | None) -> bool:
        """Return True if a trial is to replace the best so far: the first one of what was asked for always does."""
        if best is None or trial.state != "complete":
            return trial.state == "complete"
        asked = self.facts.is_asked_for(trial.candidate)
        same = asked == self.facts.is_asked_for(best.candidate)
        return trial.loss < best.loss if same else asked

    def _announce(self, trial: Trial, best: Trial | None, what: str) -> None:
        self.rundir.log(what, at_s=self.clock.used_s, number=trial.number, state=trial.state)
        self.listener.trial(trial, best, self.clock.left_s)


def is_default(first: Trial) -> bool:
    """Return True if the first trial is the untuned default, and complete: where that did not fit, another came first."""
    return first.state == "complete" and first.candidate.origin == DEFAULT
