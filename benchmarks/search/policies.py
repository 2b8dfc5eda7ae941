"""Search policies to compare, each an object with the interface of acquisition.py.

`RandomSearch`: whole trainings in random order. `HalvingTpe`: Optuna's tree-structured estimator with
successive halving or Hyperband; what it asks for is mapped to the nearest recorded training.
Does NOT cover: the simulated machine (world.py), the product's own search (product.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
import training
from acquisition import Option, Remaining, Slice
from predictor import Sighting

from advisor.records import Trial
from advisor.records.trials import FoldScore

optuna.logging.set_verbosity(optuna.logging.ERROR)
PLACES = [f"{backbone} {size_px}" for backbone, size_px in training.STEP_S]
STRATEGIES = [
    *("bias_only", "ema", "full", "gradual", "knn", "l2_sp", "logistic", "lp_ft"),
    *("norm_only", "partial", "prototypes", "ridge", "surgical", "wise_ft"),
]


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


def records(seen: Sequence[Sighting]) -> tuple[list[Trial], list[Trial]]:
    """Turn what ended into probes and trials, as the product's expectation reads them."""
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
        chosen = trial.suggest_categorical("place", PLACES)
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
            apart += 4.0 * (f"{s.candidate.backbone} {s.candidate.size_px}" != chosen)
            return apart + 4.0 * (s.candidate.strategy != strategy)

        return min(fits, key=distance)
