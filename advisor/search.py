"""Regime and backbones -> trials: probes first, then the untuned default, known-good guesses, and samples, until the end.

In: an opened data set at a worker, a clock, a study. Out: finished trials, each written down before the next begins.
The time for refitting and scoring the winner is kept back from the start, so whatever is best when time runs out can
still be finished. Does NOT cover: who won (finish.py), what a trial does (trial.py).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from advisor import budget, candidates
from advisor.errors import AdviseError, InputError
from advisor.hooks import Backbone, Context, Strategy
from advisor.listener import Listener
from advisor.records import Candidate, Regime, Settings, Trial
from advisor.records.jobs import Describe, Description, Probe, Probed, RunTrial
from advisor.registry import Registry
from advisor.rundir import RunDir
from advisor.study import Study
from advisor.workers import OutOfTime, Worker, WorkerLost

FOLDS = 5
PROBE_SHARE = 0.2  # of the budget, for all probes together
RESCORE_SHARE = 0.15  # of the budget, kept back for scoring the leaders again
PATIENCE = 24  # sampled trials in a row without a better one, after which more would only fit the validation images
SHORTLIST = 3
VALIDATION_AIM = 200  # images on which a trained candidate should be scored, by adding folds on small data
UNCLOCKED_S = 900.0  # what `--trials` alone is taken to afford where cards decide


@dataclass
class Search:
    """The state of a search; every field but the last four is fixed when it begins."""

    settings: Settings
    rundir: RunDir
    clock: budget.Clock
    worker: Worker
    registry: Registry
    strategies: Mapping[str, Strategy]
    regime: Regime
    counts: tuple[int, ...]  # pool images by class
    test_images: int
    study: Study
    listener: Listener
    on_better: Callable[[Trial], None]
    sizes: Mapping[str, tuple[int, ...]]
    probes: list[Trial] = field(default_factory=list)
    descriptions: dict[str, Description] = field(default_factory=dict)
    frozen: budget.Speed = field(default_factory=budget.Speed)
    training: budget.Speed = field(default_factory=budget.Speed)

    # ---- facts ---------------------------------------------------------------------------------------------------

    @property
    def images(self) -> int:
        """Images in the pool."""
        return sum(self.counts)

    @property
    def clocked(self) -> bool:
        """Whether there is an end in time; without one nothing may depend on how fast this machine is."""
        return self.clock.asked_s is not None

    def describe(self, name: str) -> Description:
        """Ask the worker for a backbone's shape, once."""
        if name not in self.descriptions:
            self.descriptions[name] = self.worker.ask(Describe(backbone=name), Description, self.listener.progress)
        return self.descriptions[name]

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
            device=self.settings.device,
            probe={} if best is None else {"accuracy": best.accuracy, "log_loss": best.log_loss},
            size_px=size_px,
        )

    def contenders(self) -> list[Trial]:
        """List what may win: complete trials, and probes."""
        return [*self.probes, *(t for t in self.study.trials() if t.state == "complete")]

    def best(self) -> Trial | None:
        """Give the contender with the lowest validation log-loss."""
        return min(self.contenders(), key=lambda t: (t.log_loss, t.number), default=None)

    # ---- what things cost ----------------------------------------------------------------------------------------

    def is_deep(self, candidate: Candidate) -> bool:
        """Whether training goes beyond a head on frozen features."""
        return self.strategies_of(candidate).regime != "feature_extraction"

    def strategies_of(self, candidate: Candidate) -> Strategy:
        """Give the candidate's strategy."""
        return self.registry.strategy(candidate.strategy)

    def train_s(self, candidate: Candidate, images: int) -> float:
        """Predict the seconds of training a candidate on `images` images, corrected by what was measured."""
        backbone = self.registry.backbone(candidate.backbone)
        context = self.context(candidate.backbone, candidate.size_px)
        card = candidates.cost_s(candidate, self.strategies_of(candidate), backbone, context, images)
        if self.is_deep(candidate):
            return card * (self.training.ratio if self.training.readings else self.frozen.ratio)
        return (
            1.0 + 0.02 * images / 1000 * len(self.counts) / 10
        )  # features are cached by then; the head is what is left

    def predict_cost(self, candidate: Candidate) -> float:
        """Give the multiply-adds of one image at inference: what the winner will cost whoever uses it."""
        backbone = self.registry.backbone(candidate.backbone)
        return budget.at_size(backbone.macs, backbone.preprocess.size, candidate.size_px)

    def test_s(self, candidate: Candidate) -> float:
        """Predict the seconds of scoring the locked test."""
        backbone = self.registry.backbone(candidate.backbone)
        macs = budget.at_size(backbone.macs, backbone.preprocess.size, candidate.size_px)
        return 1.5 * self.frozen.ratio * budget.extraction_s(self.test_images, macs, self.settings.device)

    def finish_s(self, winner: Candidate) -> float:
        """Predict the seconds that the end takes if `winner` wins: both refits, both scores, the writing."""
        both = [winner]
        finished = self.study.trials()
        if finished and finished[0].state == "complete":
            both.append(finished[0].candidate)
        unique = list({repr(c): c for c in both}.values())
        return budget.FINISH_S + sum(1.15 * self.train_s(c, self.images) + self.test_s(c) for c in unique)

    def folds_for(self, candidate: Candidate) -> tuple[int, ...]:
        """Choose the folds that a candidate is scored on: all for heads, enough for the aim for what is trained."""
        if not self.is_deep(candidate):
            return tuple(range(FOLDS))
        each = max(1, self.images // FOLDS)
        wanted = min(FOLDS, -(-VALIDATION_AIM // each))
        if self.clocked:
            one = self.train_s(candidate, self.images - each)
            while wanted > 1 and wanted * one > 0.35 * max(0.0, self.clock.left_s):
                wanted -= 1
        return tuple(range(wanted))

    # ---- the whole -----------------------------------------------------------------------------------------------

    def explore(self, reachable: list[Backbone]) -> None:
        """Probe, then search; the untuned default is fixed before either."""
        default = self.default(reachable)
        self.probe_all(reachable)
        self.run(default)

    def default(self, reachable: list[Backbone]) -> Candidate:
        """Fix the untuned default from cards alone: backbone, the prior regime's strategy, its first guess.

        Where the budget affords no training at all, it is the head of a frozen backbone.
        """
        affordable = self.settings.budget_s
        for name in (self.regime.name, "feature_extraction"):
            choice = candidates.default_strategy(replace(self.regime, name=name), self.strategies)
            guesses = {b.name: self._first(b, choice) for b in reachable}
            cost = {n: self._card_s(g) for n, g in guesses.items() if g is not None}
            able = [b for b in reachable if b.name in cost]
            if able:
                chosen = candidates.default_backbone(able, cost, affordable)
                if affordable is None or cost[chosen.name] <= affordable / 3 or name == "feature_extraction":
                    return guesses[chosen.name]  # type: ignore[return-value]
        raise InputError(
            "no strategy that was chosen applies to a backbone in reach.", hint="See `tl-advise plugins` for reasons."
        )

    def _first(self, backbone: Backbone, strategy: str) -> Candidate | None:
        size_px = max(self.sizes[backbone.name])
        found = candidates.guesses(
            {strategy: self.registry.strategy(strategy)},
            self.context(backbone.name, size_px),
            backbone=backbone.name,
            size_px=size_px,
        )
        return replace(found[0], origin="default") if found else None

    def _card_s(self, candidate: Candidate) -> float:
        """Predict search and refit of a candidate from cards alone, as if nothing had been measured."""
        backbone = self.registry.backbone(candidate.backbone)
        context = self.context(candidate.backbone, candidate.size_px)
        return 2.0 * candidates.cost_s(candidate, self.strategies_of(candidate), backbone, context, self.images)

    # ---- probes --------------------------------------------------------------------------------------------------

    def probe_all(self, reachable: list[Backbone]) -> None:
        """Probe every backbone and size, cheapest first, within the probes' share of the budget; at least one."""
        self.probes = list(self.rundir.read("probes.json", list[Trial]) or [])
        done = {(p.candidate.backbone, p.candidate.size_px) for p in self.probes}
        costs = {
            (b.name, size): budget.extraction_s(
                self.images, budget.at_size(b.macs, b.preprocess.size, size), self.settings.device
            )
            for b in reachable
            for size in self.sizes[b.name]
        }
        allowed = PROBE_SHARE * (self.clock.asked_s or UNCLOCKED_S)
        spent = 0.0
        for place, cost in sorted(costs.items(), key=lambda kv: (kv[1], kv[0])):
            ratio = self.frozen.ratio if self.clocked else 1.0
            if spent and spent + cost * ratio > allowed:
                self.listener.note(
                    f"{place[0]} at {place[1]} px is not probed: it would take {budget.words(cost * ratio)}"
                )
                continue
            spent += cost * ratio
            if place not in done:
                self._probe(place, cost)

    def _probe(self, place: tuple[str, int], predicted_s: float) -> None:
        name, size_px = place
        self.listener.stage(f"probing {name} at {size_px} px")
        heads = {n: s for n, s in self.strategies.items() if s.regime == "feature_extraction"} or {
            n: s for n, s in self.registry.strategies.items() if n == "ridge"
        }
        quick = {n: s for n, s in heads.items() if n == "ridge"} or heads
        guesses = candidates.guesses(quick, self.context(name, size_px), backbone=name, size_px=size_px, each=2)
        if not guesses:
            return
        job = Probe(
            backbone=name,
            candidates=tuple(guesses),
            first_number=-len(self.probes) - 1,
            seed=self.settings.seed,
        )
        began = time.monotonic()
        answer = self.worker.ask(job, Probed, self.listener.progress)
        if answer.images_per_s:
            self.frozen.learn(predicted_s, time.monotonic() - began)
        for trial in answer.trials:
            self._ended(trial, probe=True)

    def _ended(self, trial: Trial, *, probe: bool = False) -> None:
        before = self.best()
        if probe:
            if trial.state == "complete":
                self.probes.append(trial)
                self.rundir.write("probes.json", self.probes)
        else:
            self.study.finish(trial)
        self.rundir.log("probe" if probe else "trial", at_s=self.clock.used_s, number=trial.number, state=trial.state)
        self.listener.trial(trial, before, self.clock.left_s)
        if trial.state == "complete" and (before is None or trial.log_loss < before.log_loss):
            self.on_better(trial)

    # ---- trials ----------------------------------------------------------------------------------------------

    def places(self) -> list[tuple[str, int]]:
        """Rank backbones with input sizes by their best probe; keep the shortlist and the best published one."""
        best: dict[tuple[str, int], float] = {}
        for p in self.probes:
            place = (p.candidate.backbone, p.candidate.size_px)
            best[place] = min(best.get(place, float("inf")), p.log_loss)
        ranked = sorted(best, key=lambda place: (best[place], place))
        published = max(
            ranked, key=lambda q: (self.registry.backbone(q[0]).published_accuracy or 0.0, q[1]), default=None
        )
        kept = ranked[:SHORTLIST]
        return kept if published is None or published in kept else [*kept, published]

    def portfolio(self) -> Iterator[list[Candidate]]:
        """Give known-good guesses in order; each entry lists the same guess on one place after another."""
        places = self.places()
        heads = {n: s for n, s in self.strategies.items() if s.regime == "feature_extraction"}
        deep = {n: s for n, s in self.strategies.items() if s.regime != "feature_extraction"}
        for backbone, size_px in places[:2]:
            context = self.context(backbone, size_px)
            for guess in candidates.guesses(heads, context, backbone=backbone, size_px=size_px, each=2):
                yield [guess]
        for name in candidates.ordered(deep):
            spread = [
                candidates.guesses({name: deep[name]}, self.context(*place), backbone=place[0], size_px=place[1])
                for place in places
            ]
            entry = [g[0] for g in spread if g]
            if entry:
                yield entry if self.clocked else entry[:1]

    def run(self, default: Candidate) -> None:
        """Search until the trials, the time or the patience are used up."""
        self._go_on()
        tried = {_key(t.candidate) for t in self.study.trials()}
        queue: list[list[Candidate]] = [[default], *self.portfolio()]
        for entry in queue:
            entry = [c for c in entry if _key(c) not in tried]
            chosen = next((c for c in entry if self.affordable(c)), None)
            if chosen is None or self.trials_left() <= 0:
                continue
            tried.add(_key(chosen))
            self._run(chosen)
        self._sample_on()

    def _go_on(self) -> None:
        cut_off = self.study.interrupted()
        if cut_off is not None:
            self._run(cut_off[1])

    def trials_left(self) -> float:
        """How many more trials may be run."""
        if self.settings.trials is None:
            return float("inf")
        return self.settings.trials - len(self.study.trials())

    def affordable(self, candidate: Candidate) -> bool:
        """Whether a candidate can be scored, refitted and tested in the time that is left."""
        if not self.clocked:
            return True
        each = self.images - self.images // FOLDS
        folds = len(self.folds_for(candidate))
        scoring = self.train_s(candidate, each) * (folds if self.is_deep(candidate) else 1)
        return scoring + self.finish_s(candidate) <= self.clock.left_s

    def _run(self, candidate: Candidate) -> Trial:
        self.describe(candidate.backbone)
        number = self.study.begin(candidate)
        folds = self.folds_for(candidate)
        left = self.clock.left_s - self.finish_s(candidate)
        job = RunTrial(
            number=number,
            candidate=candidate,
            folds=folds,
            repeat=0,
            seed=self.settings.seed,
            started_s=self.clock.used_s,
            limit_s=max(1.0, left) if self.clocked else None,
            stop_above=self._stop_above(candidate),
        )
        self.listener.stage(f"trial {number}: {candidate.strategy} on {candidate.backbone} at {candidate.size_px} px")
        trial = self._ask(job)
        if self.is_deep(candidate) and trial.state == "complete":
            each = self.images - self.images // FOLDS
            backbone = self.registry.backbone(candidate.backbone)
            context = self.context(candidate.backbone, candidate.size_px)
            card = candidates.cost_s(candidate, self.strategies_of(candidate), backbone, context, each)
            self.training.learn(card * len(folds), trial.seconds)
        self._ended(trial)
        return trial

    def _ask(self, job: RunTrial) -> Trial:
        """Run a trial; a worker that dies with it is started again and costs this trial only."""
        deadline = None if job.limit_s is None else time.monotonic() + job.limit_s + 5.0
        try:
            return self.worker.ask(job, Trial, self.listener.progress, deadline=deadline)
        except (WorkerLost, OutOfTime) as error:
            return self._failed(job, error)

    def _failed(self, job: RunTrial, error: AdviseError) -> Trial:
        return Trial(
            number=job.number,
            candidate=job.candidate,
            regime=self.strategies_of(job.candidate).regime,
            state="failed",
            error=str(error),
            started_s=job.started_s,
            seconds=self.clock.used_s - job.started_s,
        )

    def _stop_above(self, candidate: Candidate) -> dict[int, float]:
        """Median stopping: above the median of at least four earlier trials at the same rung, a trial ends there."""
        curves = [t.curve for t in self.study.trials() if len(t.curve.log_loss) >= 1]
        limits = {}
        for position, rung in enumerate((33, 66)):
            reached = [c.log_loss[position] for c in curves if len(c.log_loss) > position]
            if len(reached) >= 4:
                limits[rung] = statistics.median(reached)
        return limits

    def _sample_on(self) -> None:
        places = self.places()
        usable = {n: s for n, s in self.strategies.items() if all(s.applies(self.context(*p)) is None for p in places)}
        if not usable or not places:
            return
        stale = 0
        while self.trials_left() > 0 and stale < PATIENCE:
            spare = RESCORE_SHARE * (self.clock.asked_s or 0.0)
            if self.clocked and self.clock.left_s - spare < self.finish_s(self.best().candidate):  # type: ignore[union-attr]
                return
            candidate = self.study.sample(places, usable, self.context)
            if not self.affordable(candidate):
                usable = {n: s for n, s in usable.items() if n != candidate.strategy}
                if not any(s.regime != "feature_extraction" for s in usable.values()):
                    return
                continue
            before = self.best()
            trial = self._run(candidate)
            better = trial.state == "complete" and (before is None or trial.log_loss < before.log_loss)
            stale = 0 if better else stale + 1


def _key(candidate: Candidate) -> str:
    parameters = sorted((k, repr(v)) for k, v in candidate.parameters.items())
    return f"{candidate.backbone} {candidate.size_px} {candidate.strategy} {parameters}"
