"""What one run knows while it searches: who may compete, and what was measured so far.

In: settings, a clock, an opened worker, a study. Out: facts for probing.py, search.py and finish.py. Does NOT cover: what the
next thing will cost (costs.py), any decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from advisor.data.splits import FOLDS
from advisor.errors import WorkerLostError
from advisor.execution.worker import Worker
from advisor.execution.worker_pool import WorkerPool
from advisor.hooks import Context, Strategy
from advisor.records import Candidate, Regime, Settings, Trial
from advisor.records.messages import Answer, Describe, Description, Job
from advisor.registry import Registry
from advisor.runtime import clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning import budget, pruner, sampler
from advisor.tuning.distributed.remote_pool import Fleet
from advisor.tuning.study import Study, key

A = TypeVar("A", bound=Answer)


@dataclass
class Contest:
    """The state of one run; every field but the last four is fixed when it begins."""

    settings: Settings
    rundir: RunDir
    clock: clock.Clock
    crew: WorkerPool
    registry: Registry
    strategies: Mapping[str, Strategy]
    regime: Regime
    counts: tuple[int, ...]  # pool images by class
    test_images: int
    device: str  # where trials run, as the worker says
    study: Study
    listener: Listener
    on_better: Callable[[Trial], None]
    sizes: Mapping[str, tuple[int, ...]]
    probes: list[Trial] = field(default_factory=list)
    fleet: Fleet | None = None
    descriptions: dict[str, Description] = field(default_factory=dict)
    frozen: budget.Speeds = field(default_factory=budget.Speeds)  # by backbone
    training: dict[str, budget.Speeds] = field(default_factory=dict)  # by regime: a cached prefix costs unlike the rest

    # ---- facts ---------------------------------------------------------------------------------------------------

    @property
    def worker(self) -> Worker:
        """The worker that does what is not a trial: the first one, or while that is busy any that is not."""
        return self.crew.idle or self.crew.first

    @property
    def images(self) -> int:
        """Images in the pool."""
        return sum(self.counts)

    @property
    def clocked(self) -> bool:
        """Whether there is an end in time; without one nothing may depend on how fast this machine is."""
        return self.clock.asked_s is not None

    def describe(self, name: str) -> Description:
        """Ask the worker for a backbone's shape, once: before the first trial, while it is free."""
        if name not in self.descriptions:
            self.descriptions[name] = self.ask(Describe(backbone=name), Description)
        return self.descriptions[name]

    def ask(self, job: Job, kind: type[A], *, deadline: float | None = None) -> A:
        """Have a job done that is no trial, and once more where the process died with it: memory may have run short,
        somebody may have cut a cache file. Raises what the job raised, OutOfTimeError, WorkerLostError the second time.
        """
        worker = self.worker
        try:
            return worker.ask(job, kind, self.listener.progress, deadline=deadline)
        except WorkerLostError as error:
            self.listener.note(f"{error} It is started again, once.")
            return worker.ask(job, kind, self.listener.progress, deadline=deadline)

    def context(self, name: str, size_px: int) -> Context:
        """Give what strategies may know of this data set with this backbone, after one fold was put aside."""
        shape = self.describe(name)
        best = min((p for p in self.probes if p.candidate.backbone == name), key=lambda p: p.log_loss, default=None)
        return Context(
            images=self.images - self.images // FOLDS,
            classes=len(self.counts),
            class_counts=self.counts,
            stages=shape.stages,
            has_norm=shape.has_norm,
            dim=shape.dim,
            device=self.device,
            probe={} if best is None else {"accuracy": best.accuracy, "log_loss": best.log_loss},
            size_px=size_px,
        )

    def contenders(self) -> list[Trial]:
        """List what may win: complete trials, and probes that no trial repeated."""
        trials = [t for t in self.study.trials() if t.state == "complete"]
        repeated = {key(t.candidate) for t in trials}
        return [*(p for p in self.probes if key(p.candidate) not in repeated), *trials]

    def best(self) -> Trial | None:
        """Give the contender with the lowest validation log-loss."""
        return min(self.contenders(), key=lambda t: (t.log_loss, t.number), default=None)

    @property
    def default(self) -> Trial | None:
        """Give the untuned default's trial: the first one, where it is complete."""
        first = self.study.first()
        return first if first is not None and first.state == "complete" else None

    @property
    def has_trained(self) -> bool:
        """Whether a training came to its end, the untuned default aside."""
        return any(t.steps and t.state == "complete" and t != self.default for t in self.study.trials())

    @property
    def seats(self) -> WorkerPool | Fleet:
        """Where trials run: here, and elsewhere where the study is shared."""
        return self.fleet or self.crew

    def begin(self, candidate: Candidate, *, again: int | None = None) -> int:
        """Write a trial down as begun and give its number; `again` is the lost trial in whose place it stands."""
        self.describe(candidate.backbone)
        names = {"backbone": tuple(self.registry.backbones), "strategy": tuple(self.registry.strategies)}
        context = self.context(candidate.backbone, candidate.size_px)
        return self.study.begin(
            candidate, sampler.shown(candidate, names, self.strategies_of(candidate), context), again=again
        )

    def probed(self, trials: Sequence[Trial]) -> None:
        """Write the probes of one place down, all together, so that a kill leaves a place probed or not probed."""
        before, now_s = self.best(), self.clock.used_s
        trials = [replace(t, started_s=max(0.0, now_s - t.seconds)) for t in trials]
        self.probes.extend(t for t in trials if t.state == "complete")
        self.rundir.write("probes.json", self.probes)
        for trial in trials:
            self._told(trial, before, "probe")
        found = [t for t in trials if t.state == "complete"]
        best = min(found, key=lambda t: (t.log_loss, t.number), default=None)
        if best is not None and (before is None or best.log_loss < before.log_loss):
            self.on_better(best)

    def probe_of(self, candidate: Candidate) -> Trial | None:
        """Give the probe that scored the very same head, if there is one."""
        return next((p for p in self.probes if key(p.candidate) == key(candidate)), None)

    def ended(self, trial: Trial) -> None:
        """Write a trial's end down, tell it, and keep it where it is the best so far."""
        before = self.best()
        self.study.finish(trial)
        pruner.tidy(self.rundir, self.study.trials(), self.study.candidates())
        self._told(trial, before, "trial")
        if trial.state == "complete" and (before is None or trial.log_loss < before.log_loss):
            self.on_better(trial)

    def _told(self, trial: Trial, before: Trial | None, what: str) -> None:
        self.rundir.log(what, at_s=self.clock.used_s, number=trial.number, state=trial.state)
        self.listener.trial(trial, before, self.clock.left_s)

    def is_deep(self, candidate: Candidate) -> bool:
        """Whether training goes beyond a head on frozen features."""
        return self.strategies_of(candidate).regime != "feature_extraction"

    def strategies_of(self, candidate: Candidate) -> Strategy:
        """Give the candidate's strategy."""
        return self.registry.strategy(candidate.strategy)
