"""Search policies to compare, each an object with the interface of acquisition.py.

`Rules`: the search as it was until this benchmark existed: heads, then guesses by a table of lifts, then samples until
patience ends. `RandomSearch`: whole trainings in random order. `HalvingTpe`: Optuna's tree-structured estimator with
successive halving or Hyperband; what it asks for is mapped to the nearest recorded training.
Does NOT cover: the simulated machine (world.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optuna
import training
from acquisition import Option, Remaining, Slice
from predictor import Sighting

from advisor.records import Trial
from advisor.records.trials import FoldScore
from advisor.tuning import candidates, expected_loss

optuna.logging.set_verbosity(optuna.logging.ERROR)
PLACES = [f"{backbone} {size_px}" for backbone, size_px in training.STEP_S]
STRATEGIES = [
    *("bias_only", "ema", "full", "gradual", "knn", "l2_sp", "logistic", "lp_ft"),
    *("norm_only", "partial", "prototypes", "ridge", "surgical", "wise_ft"),
]
PATIENCE, HOPE, NEAR, CHEAP, LATE, STOPPED_AFTER = 24, 0.01, 0.4, 0.06, 0.15, 4


def fitting(options: Sequence[Option], remaining: Remaining) -> list[int]:
    """List the positions of options that can be finished in time."""
    return [i for i, o in enumerate(options) if o.whole_s + o.finish_s <= remaining.left_s]


def begun(option: Option) -> bool:
    """Whether a training stands at a rung on its way."""
    return option.sighting.share > 0


class RandomSearch:
    """Whole trainings and heads, in random order (the options' order is random)."""

    def next(self, options: Sequence[Option], seen: Sequence[Sighting], remaining: Remaining) -> Slice | None:
        """Return the first option that fits."""
        fits = fitting(options, remaining)
        return Slice(position=fits[0], until=1.0) if fits else None


class Rules:
    """Heads that cost little; guesses by expected improvement, none shortened; then samples, paused at the median."""

    def __init__(self) -> None:
        self.paused: dict[int, int] = {}
        self.losses: dict[float, list[float]] = {}
        self.stale = 0
        self.last: tuple[str, int] = ("", 0)
        self.best = math.inf
        self.guessing = True
        self.going: Sighting | None = None

    def next(self, options: Sequence[Option], seen: Sequence[Sighting], remaining: Remaining) -> Slice | None:
        """Return the next slice by the old order of things."""
        self._count(seen)
        going = self._going_on(options)
        if going is not None:
            return going
        fits = [i for i in fitting(options, remaining) if not begun(options[i])]
        guesses = [i for i in fits if options[i].sighting.candidate.origin_kind == "guess"]
        cheap = [i for i in guesses if not options[i].sighting.steps and options[i].whole_s <= CHEAP * remaining.left_s]
        if cheap and self.guessing:
            order = candidates.ordered({options[i].sighting.candidate.strategy for i in cheap})
            return Slice(
                position=min(cheap, key=lambda i: order.index(options[i].sighting.candidate.strategy)), until=1.0
            )
        chosen = self._guess(options, guesses, seen) if self.guessing else None
        if chosen is not None:
            return self._begin(options, chosen)
        self.guessing = False
        return self._sample(options, fits, seen, remaining)

    def _guess(self, options: Sequence[Option], guesses: Sequence[int], seen: Sequence[Sighting]) -> int | None:
        probes, trials = records(seen)
        best = min((s.final for s in seen if s.final is not None), default=math.inf)
        published = {o.sighting.candidate.backbone: o.sighting.published for o in options}
        hopes = {}
        for i in guesses:
            s = options[i].sighting
            reached = expected_loss.expected(s.candidate, s.regime, s.steps, probes, trials, published)
            hopes[i] = expected_loss.improvement(reached, expected_loss.spread(s.steps, trials), best)
        if not hopes or max(hopes.values()) < HOPE:
            return None
        if not any(s.steps for s in seen):
            near = [i for i in hopes if hopes[i] >= NEAR * max(hopes.values()) and options[i].sighting.steps]
            if near and options[max(hopes, key=lambda i: hopes[i])].sighting.steps:
                return max(near, key=lambda i: (options[i].sighting.published or 0.0, hopes[i]))
        return max(hopes, key=lambda i: hopes[i])

    def _sample(
        self, options: Sequence[Option], fits: Sequence[int], seen: Sequence[Sighting], remaining: Remaining
    ) -> Slice | None:
        samples = [i for i in fits if options[i].sighting.candidate.origin_kind == "sampled"]
        if self.stale >= PATIENCE or not samples or remaining.left_s < LATE * remaining.asked_s:
            return None
        return self._begin(options, samples[0])

    def _begin(self, options: Sequence[Option], position: int) -> Slice:
        self.going = options[position].sighting
        return Slice(position=position, until=options[position].rungs_s[0][0])

    def _going_on(self, options: Sequence[Option]) -> Slice | None:
        """Go on with what was begun, unless it is behind the median of the others at its rung."""
        if self.going is None:
            return None
        candidate, self.going = self.going.candidate, None
        for position, option in enumerate(options):
            s = option.sighting
            if s.candidate is candidate and begun(option) and s.loss is not None:
                at = self.losses.setdefault(round(s.share, 1), [])
                at.append(s.loss)
                if len(at) > STOPPED_AFTER and s.loss > float(np.median(at[:-1])):
                    self.stale += 1
                    return None
                self.going = s
                return Slice(position=position, until=option.rungs_s[0][0])
        return None

    def _count(self, seen: Sequence[Sighting]) -> None:
        best = min((s.final for s in seen if s.final is not None), default=math.inf)
        if best < self.best:
            self.stale = 0
        elif not self.guessing and self.going is None:
            self.stale += 1
        self.best = min(best, self.best)


def records(seen: Sequence[Sighting]) -> tuple[list[Trial], list[Trial]]:
    """Turn what ended into probes and trials, as the old expectation reads them."""
    probes, trials = [], []
    for number, s in enumerate(seen):
        score = FoldScore(fold=0, repeat=0, seed=0, n=1, accuracy=0.0, log_loss=float(s.final or 0.0))
        record = Trial(
            number=number,
            candidate=s.candidate,
            regime=s.regime,  # type: ignore[arg-type]
            state="complete",
            scores=(score,),
            steps=s.steps,
        )
        (probes if s.candidate.strategy == "ridge" else trials).append(record)
    return probes, trials


class HalvingTpe:
    """Optuna: tree-structured estimator over network, strategy, rate, length and head factor; a pruner at the rungs."""

    def __init__(self, pruner: str, seed: int) -> None:
        rungs = {"min_resource": 1, "max_resource": 4, "reduction_factor": 2}
        chosen: optuna.pruners.BasePruner = (
            optuna.pruners.HyperbandPruner(**rungs)
            if pruner == "hyperband"
            else optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
        )
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=6)
        self.study = optuna.create_study(sampler=sampler, pruner=chosen)
        self.trial: optuna.Trial | None = None
        self.sighting: Sighting | None = None

    def next(self, options: Sequence[Option], seen: Sequence[Sighting], remaining: Remaining) -> Slice | None:
        """Return the next slice of the trial under way, or the first of the next one."""
        if self.trial is not None and self.sighting is not None:
            further = self._further(options, seen)
            if further is not None:
                return further
        fits = [i for i in fitting(options, remaining) if not begun(options[i])]
        if not fits:
            return None
        self.trial = self.study.ask()
        position = self._nearest(options, fits)
        self.sighting = options[position].sighting
        return Slice(position=position, until=options[position].rungs_s[0][0])

    def _further(self, options: Sequence[Option], seen: Sequence[Sighting]) -> Slice | None:
        assert self.trial is not None
        assert self.sighting is not None
        candidate = self.sighting.candidate
        ended = next((s for s in seen if s.candidate is candidate), None)
        trial = self.trial
        if ended is not None:
            self.study.tell(trial, ended.final)
            self.trial = None
            return None
        position = next((i for i, o in enumerate(options) if o.sighting.candidate is candidate), None)
        if position is None:  # given up as too slow
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            self.trial = None
            return None
        s = options[position].sighting
        trial.report(float(s.loss or 0.0), step=round(4 * s.share))
        if trial.should_prune():
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            self.trial = None
            return None
        return Slice(position=position, until=options[position].rungs_s[0][0])

    def _nearest(self, options: Sequence[Option], fits: Sequence[int]) -> int:
        assert self.trial is not None
        trial = self.trial
        place = trial.suggest_categorical("place", PLACES)
        strategy = trial.suggest_categorical("strategy", STRATEGIES)
        asked = np.array(
            [
                trial.suggest_float("rate", -3.0, 2.0),
                trial.suggest_float("length", -3.0, 2.0),
                trial.suggest_float("head factor", -3.5, 2.5),
            ]
        )

        def distance(i: int) -> float:
            s = options[i].sighting
            own = np.array([s.features.get(n, 0.0) for n in ("rate", "length", "head factor")])
            apart = float(np.abs(own - asked).sum())
            apart += 4.0 * (f"{s.candidate.backbone} {s.candidate.size_px}" != place)
            return apart + 4.0 * (s.candidate.strategy != strategy)

        return min(fits, key=distance)
