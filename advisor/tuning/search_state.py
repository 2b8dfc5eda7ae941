"""What a search knows, as values: the facts that are fixed when it begins, and a snapshot of what was measured since.

In: settings, registry, class counts; probes, finished trials, speeds. Out: answers for what predicts or decides. Nothing
here starts a process or writes a file. Does NOT cover: changing any of it (`search_run`), predicting costs (`cost_model`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from advisor.data.splits import FOLDS
from advisor.hooks import Context, Strategy
from advisor.records import Candidate, Experience, Regime, Settings, Trial
from advisor.records.limits import GraphCost
from advisor.records.messages import Description
from advisor.records.objective import ObjectiveSpec
from advisor.registry import Registry
from advisor.tuning import policy
from advisor.tuning.budget import MeasuredSpeeds
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.limits.graph_costs import CostTable
from advisor.tuning.trials.study import key


@dataclass(frozen=True, kw_only=True)
class SearchFacts:
    """What does not change during a search. `counts` are the pool's images by class, `device` is where trials run."""

    settings: Settings
    registry: Registry
    strategies: Mapping[str, Strategy]
    regime: Regime
    counts: tuple[int, ...]
    test_images: int
    device: str
    sizes: Mapping[str, tuple[int, ...]]
    objective: ObjectiveSpec = field(default_factory=ObjectiveSpec)
    costs: CostTable = field(default_factory=CostTable)
    experience: Experience = field(default_factory=Experience)

    @property
    def images(self) -> int:
        """The number of images in the pool."""
        return sum(self.counts)

    @property
    def fold_images(self) -> int:
        """The number of images that a training on one fold sees."""
        return self.images - self.images // FOLDS

    @property
    def has_deadline(self) -> bool:
        """True if there is an end in time; without one nothing may depend on how fast this machine is."""
        return self.settings.budget_s is not None

    def strategy_of(self, candidate: Candidate) -> Strategy:
        """Return a candidate's strategy. Raises PluginError where there is none of its name."""
        return self.registry.strategy(candidate.strategy)

    def is_asked_for(self, candidate: Candidate) -> bool:
        """Return True if --strategy and --regime allow this candidate; the heads of probes are scored whatever they say."""
        restricted = self.settings.strategies or self.regime.forced
        return not restricted or candidate.strategy in self.strategies

    def trains_backbone(self, candidate: Candidate) -> bool:
        """Return True if training goes beyond a head on frozen features."""
        return self.strategy_of(candidate).regime != "feature_extraction"


@dataclass(frozen=True, kw_only=True)
class SearchState(SearchFacts):
    """The facts, and what is known at one moment.

    `begun` are the candidates of all trials, finished or not, and `tried_keys` their keys. `default` is the untuned default's
    trial, where it is complete.
    """

    backbones: Mapping[str, Description]
    probes: tuple[Trial, ...]
    trials: tuple[Trial, ...]
    begun: tuple[Candidate, ...]
    tried_keys: frozenset[str]
    default: Trial | None
    speeds: MeasuredSpeeds
    left_s: float
    left_out: frozenset[tuple[str, int | None]] = frozenset()  # networks and input sizes whose code failed

    def context(self, name: str, size_px: int) -> Context:
        """Return what strategies may know of this data set with this backbone, one fold put aside."""
        shape = self.backbones[name]
        best = min((p for p in self.probes if p.candidate.backbone == name), key=lambda p: p.loss, default=None)
        return Context(
            images=self.fold_images,
            classes=len(self.counts),
            class_counts=self.counts,
            stages=shape.stages,
            has_norm=shape.has_norm,
            dim=shape.dim,
            device=self.device,
            probe={} if best is None else {"accuracy": best.accuracy, "log_loss": best.log_loss},
            size_px=size_px,
            objective=self.objective.name,
        )

    def tried(self, candidate: Candidate) -> bool:
        """Return True if the same was begun before, whoever proposed it."""
        return key(candidate) in self.tried_keys

    @property
    def trials_left(self) -> float:
        """How many more trials were requested; infinite where only the time limits them."""
        return math.inf if self.settings.trials is None else self.settings.trials - len(self.begun)

    @cached_property
    def _scored(self) -> tuple[Trial, ...]:
        trials = [t for t in self.trials if t.state == "complete"]
        repeated = {key(t.candidate) for t in trials}
        return (*(p for p in self.probes if key(p.candidate) not in repeated), *trials)

    @cached_property
    def _contenders(self) -> tuple[Trial, ...]:
        within = tuple(t for t in self._scored if self.keeps_limits(t.candidate))
        return tuple(t for t in within if self.is_asked_for(t.candidate)) or within

    @cached_property
    def _scored_keys(self) -> frozenset[str]:
        return frozenset(key(t.candidate) for t in self._scored)

    @cached_property
    def _probes_by_key(self) -> dict[str, Trial]:
        return {key(p.candidate): p for p in reversed(self.probes)}

    @cached_property
    def _best(self) -> Trial | None:
        return min(self._contenders, key=lambda t: t.rank, default=None)

    def contenders(self) -> tuple[Trial, ...]:
        """List what may win: complete trials, and probes that no trial repeated, within the limits.

        Where --strategy or --regime ask for something, all else only as long as nothing of it is complete.
        """
        return self._contenders

    def rivals_of(self, winner: Candidate, excluded: Collection[int] = ()) -> tuple[Trial, ...]:
        """List the best contender of every other network that can take the winner's squares, best first.

        They may join it in an ensemble, but for the trials of the numbers `excluded`. A network resizes the squares to its own
        input size, but it cannot undo their cut.
        """
        best: dict[str, Trial] = {}
        for trial in sorted(self._contenders, key=lambda t: t.rank):
            other = trial.number not in excluded and trial.candidate.backbone != winner.backbone
            if other and self._takes_squares_of(trial.candidate, winner):
                best.setdefault(trial.candidate.backbone, trial)
        return tuple(best.values())

    def _takes_squares_of(self, candidate: Candidate, winner: Candidate) -> bool:
        own, given = (self.registry.backbone(c.backbone).preprocess for c in (candidate, winner))
        same_cut = candidate.parameters.get("fit", "crop") == winner.parameters.get("fit", "crop")
        side_px, given_px = candidate.size_px or own.size, winner.size_px or given.size
        return same_cut and side_px <= policy.ENSEMBLE_ENLARGES * given_px and own.value_range == given.value_range

    def set_aside(self) -> tuple[Trial, ...]:
        """List what was scored within the limits and may not win, since something else was asked for."""
        return tuple(t for t in self._scored if self.keeps_limits(t.candidate) and t not in self._contenders)

    def scored(self) -> tuple[Trial, ...]:
        """List complete trials, and probes that no trial repeated."""
        return self._scored

    def keeps_limits(self, candidate: Candidate) -> bool:
        """Return True if a candidate's exported graph is within --max-ms and --max-mb, as far as it is known."""
        return not self.costs.limited or self.costs.allows(self.graph_cost(candidate))

    def graph_cost(self, candidate: Candidate) -> GraphCost:
        """Return what the exported graph of a candidate costs: measured, or predicted."""
        backbone = self.registry.backbone(candidate.backbone)
        size_px = candidate.size_px or backbone.preprocess.size
        head = ""
        if backbone.name in self.backbones:  # else it is not described yet, and its head is taken as a small one
            context = self.context(backbone.name, size_px)
            head = self.strategy_of(candidate).plan(candidate.parameters, context).head.kind
        return self.costs.of_candidate(backbone, candidate, head)

    def best(self) -> Trial | None:
        """Return the contender with the lowest validation loss."""
        return self._best

    def has_score(self, candidate: Candidate) -> bool:
        """Return True if a probe or complete trial scored this candidate."""
        return key(candidate) in self._scored_keys

    @property
    def has_trained(self) -> bool:
        """True if a training came to its end, the untuned default aside."""
        return any(t.steps and t.state == "complete" and t != self.default for t in self.trials)

    def probe_of(self, candidate: Candidate) -> Trial | None:
        """Return the probe that scored the very same head, if there is one."""
        return self._probes_by_key.get(key(candidate))

    def is_left_out(self, at: BackboneAtSize) -> bool:
        """Return True if this backbone, altogether or at this size, is left out since its code failed."""
        return bool(self.left_out & {(at.name, None), (at.name, at.size_px)})

    def has_probe_at(self, at: BackboneAtSize) -> bool:
        """Return True if this backbone was probed at this size."""
        return any(BackboneAtSize.of(p.candidate) == at for p in self.probes)
