"""What one run knows while it searches: who may compete, what was measured so far, what the next thing will cost.

In: settings, a clock, an opened worker, a study. Out: facts and predictions for probing.py, search.py and finish.py. The
time for refitting and scoring the winner is part of every prediction, so whatever is best when time runs out can still
be finished. Does NOT cover: any decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from advisor import budget, candidates, paused, sampler
from advisor.crew import Crew
from advisor.fleet import Fleet
from advisor.hooks import Context, Strategy
from advisor.listener import Listener
from advisor.records import Candidate, Regime, Settings, Trial
from advisor.records.jobs import Answer, Describe, Description, Job
from advisor.registry import Registry
from advisor.rundir import RunDir
from advisor.study import Study, key
from advisor.workers import Worker, WorkerLost

A = TypeVar("A", bound=Answer)
FOLDS = 5
# Images on which a trained candidate should be scored, by adding folds on small data: what a fixed amount of work can bear,
# and where there is a clock and time, what tells a usual gain from noise.
VALIDATION_AIM, SURE_AIM = 120, 400
FINISH_MARGIN = 1.25  # what is kept back for the end, over what it is predicted to take
HEAD_S, HEAD_S_EACH = 1.0, 1e-4  # fitting a head that was not fitted yet: at least, and for each image and class
# How much slower a multiply-add of training is than one of a frozen pass, before it was measured: 0.8 to 1.3 with three small
# networks at 96 to 224 px, and twice where memory is the limit. The first steps of a trial tell the truth at little cost,
# and what is then seen not to fit is tried again, shortened.
TRAINING_OVER_FROZEN = 1.15
WATCHED = 200  # images on which it is seen how much of its source a winner has kept
RETENTION_SHARE = 0.03  # of the budget, which that may take
FOLDS_SHARE = 0.35  # of the time that is left, which all folds of one trained candidate may take


@dataclass
class Contest:
    """The state of one run; every field but the last four is fixed when it begins."""

    settings: Settings
    rundir: RunDir
    clock: budget.Clock
    crew: Crew
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
        somebody may have cut a cache file. Raises what the job raised, OutOfTime, WorkerLost the second time.
        """
        worker = self.worker
        try:
            return worker.ask(job, kind, self.listener.progress, deadline=deadline)
        except WorkerLost as error:
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
    def seats(self) -> Crew | Fleet:
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
            if trial.state == "complete" and (before is None or trial.log_loss < before.log_loss):
                before = trial

    def ended(self, trial: Trial) -> None:
        """Write a trial's end down, tell it, and keep it where it is the best so far."""
        before = self.best()
        self.study.finish(trial)
        paused.tidy(self.rundir, self.study.trials(), self.study.candidates())
        self._told(trial, before, "trial")

    def _told(self, trial: Trial, before: Trial | None, what: str) -> None:
        self.rundir.log(what, at_s=self.clock.used_s, number=trial.number, state=trial.state)
        self.listener.trial(trial, before, self.clock.left_s)
        if trial.state == "complete" and (before is None or trial.log_loss < before.log_loss):
            self.on_better(trial)

    # ---- what things cost ----------------------------------------------------------------------------------------

    def is_deep(self, candidate: Candidate) -> bool:
        """Whether training goes beyond a head on frozen features."""
        return self.strategies_of(candidate).regime != "feature_extraction"

    def strategies_of(self, candidate: Candidate) -> Strategy:
        """Give the candidate's strategy."""
        return self.registry.strategy(candidate.strategy)

    def train_s(self, candidate: Candidate, images: int) -> float:
        """Predict the seconds of training a candidate on `images` images, corrected by what was measured."""
        if self.is_deep(candidate):
            return self.card_s(candidate, images) * self._training_ratio(candidate)
        same = [t.seconds for t in self.contenders() if t.candidate.strategy == candidate.strategy]
        fitting = max(same, default=HEAD_S + HEAD_S_EACH * images * len(self.counts))
        return self._pass_s(candidate) + fitting

    def _training_ratio(self, candidate: Candidate) -> float:
        """Say how much longer than on its card a training takes: as measured, or by what it is over a frozen pass."""
        name = candidate.backbone
        if self.has_pace(candidate):
            return self.training[self.strategies_of(candidate).regime].ratio(name)
        # What training is over a frozen pass differs fourfold between networks: another one's reading would mislead.
        return TRAINING_OVER_FROZEN * self.frozen.ratio(name)

    def has_pace(self, candidate: Candidate) -> bool:
        """Whether a training of this regime on this network was seen."""
        measured = self.training.get(self.strategies_of(candidate).regime)
        return measured is not None and measured.known(candidate.backbone)

    def trained(self, candidate: Candidate, folds: int, taken_s: float) -> None:
        """Learn from the seconds that training on so many folds took."""
        card_s = folds * self.card_s(candidate, self.images - self.images // FOLDS)
        speeds = self.training.setdefault(self.strategies_of(candidate).regime, budget.Speeds())
        speeds.learn(candidate.backbone, card_s, taken_s)

    def _pass_s(self, candidate: Candidate) -> float:
        """Predict the frozen passes over the pool: none where a probe, or a mirrored trial, has left its features."""
        place = (candidate.backbone, candidate.size_px)
        there = [c.candidate for c in self.contenders() if (c.candidate.backbone, c.candidate.size_px) == place]
        passes = int(not there) + int(_mirrored(candidate) and not any(_mirrored(c) for c in there))
        return passes * self._frozen_s(candidate, self.images)

    def _frozen_s(self, candidate: Candidate, images: int) -> float:
        backbone = self.registry.backbone(candidate.backbone)
        macs = budget.at_size(backbone.macs, backbone.preprocess.size, candidate.size_px)
        return self.frozen.ratio(candidate.backbone) * budget.extraction_s(images, macs, self.device)

    def test_s(self, candidate: Candidate) -> float:
        """Predict the seconds of scoring the locked test."""
        return (2 if _mirrored(candidate) else 1) * self._frozen_s(candidate, self.test_images)

    def look_s(self, candidate: Candidate) -> float:
        """Predict the seconds of one image's frozen pass."""
        return self._frozen_s(candidate, 1)

    def retention_s(self, winner: Candidate) -> float:
        """Predict the seconds of seeing how much of its source a trained winner has kept, bounded where there is a clock."""
        if not self.is_deep(winner):
            return 0.0
        passes = 12 if self.settings.source else 6
        whole = HEAD_S + HEAD_S_EACH * self.images * len(self.counts) + passes * WATCHED * self.look_s(winner)
        return min(whole, RETENTION_SHARE * (self.clock.asked_s or 0.0)) if self.clocked else whole

    def finish_s(self, winner: Candidate, *, refit: bool = True) -> float:
        """Predict the seconds that the end takes if `winner` wins: both refits, both scores, a look back, the writing.

        Without `refit` winner and default are scored as their folds left them; a head is fitted anew all the same.
        """
        both = [winner]
        default = self.default
        if default is not None and key(default.candidate) != key(winner):
            both.append(default.candidate)
        refits = sum(self.train_s(c, self.images) for c in both if refit or not self.is_deep(c))
        # Frozen networks share one pass over the test images; a trained one needs a pass of its own.
        passes = {(c.backbone, c.size_px, key(c) if self.is_deep(c) else _mirrored(c)): self.test_s(c) for c in both}
        return budget.FINISH_S + self.retention_s(winner) + FINISH_MARGIN * (refits + sum(passes.values()))

    def folds_for(self, candidate: Candidate) -> tuple[int, ...]:
        """Choose the folds that a candidate is scored on: all for heads, enough for the aim for what is trained."""
        if not self.is_deep(candidate):
            return tuple(range(FOLDS))
        each = max(1, self.images // FOLDS)
        sure = self.clocked and self.study.first() is not None  # the untuned default takes what it always takes
        wanted = min(FOLDS, -(-(SURE_AIM if sure else VALIDATION_AIM) // each))
        if self.clocked:
            one, room = self.train_s(candidate, self.images - each), FOLDS_SHARE * self.clock.left_s
            if self.least_folds(candidate) > 1:  # their mean ships, so that the time of a refit is theirs
                room = max(room, self.clock.left_s - self.finish_s(candidate, refit=False))
            while wanted > 1 and wanted * one > room:
                wanted -= 1
        return tuple(range(wanted))

    def least_folds(self, candidate: Candidate) -> int:
        """Say on how many folds a candidate should be scored at least: the first training on two, where one is few images.

        One fold of 200 images cannot tell a usual gain from noise, and the mean of two folds' models is worth a refit
        (docs/advice.md, "Two folds or a refit?").
        """
        begins = self.clocked and self.is_deep(candidate) and not self.has_trained
        return 2 if begins and self.study.first() is not None and self.images // FOLDS < SURE_AIM else 1

    def affordable(
        self, candidate: Candidate, *, share: float = 1.0, refit: bool = True, folds: int | None = None
    ) -> bool:
        """Whether a candidate can be scored (on so many folds), refitted (or not) and tested in this share of what is left."""
        if not self.clocked:
            return True
        folds = (folds or len(self.folds_for(candidate))) if self.is_deep(candidate) else 1
        search_s = folds * self.train_s(candidate, self.images - self.images // FOLDS)
        return search_s + self.finish_s(candidate, refit=refit) <= share * self.clock.left_s

    def card_s(self, candidate: Candidate, images: int) -> float:
        """Predict the seconds of training on `images` images from cards alone, as if nothing had been measured."""
        backbone = self.registry.backbone(candidate.backbone)
        context = self.context(candidate.backbone, candidate.size_px)
        there = any(
            (p.candidate.backbone, p.candidate.size_px) == (backbone.name, candidate.size_px) for p in self.probes
        )
        strategy = self.strategies_of(candidate)
        return candidates.cost_s(candidate, strategy, backbone, context, images, has_features=there)


def _mirrored(candidate: Candidate) -> bool:
    return bool(candidate.parameters.get("mirror"))
