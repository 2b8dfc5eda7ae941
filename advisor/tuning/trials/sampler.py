"""The sampler: what was tried and what is under way -> the next candidate; a function of (seed, trials begun).

In: trials and candidates by number, backbones and strategies to choose from. Out: a `Candidate`. What the estimator has
seen is kept between asks, so that an ask costs the same with ten trials as with ten thousand. Optuna's tree-structured
estimator draws; what is still under way counts as bad there, so that several workers do not try the same.
Does NOT cover: where trials are written down (`study`), when to stop (`search`).
Source: Bergstra et al. 2011 (TPE); Watanabe 2023 (2304.11127) for the multivariate estimator and the constant liar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from advisor.hooks import Context, Strategy
from advisor.records import Candidate, Trial
from advisor.runtime import rng
from advisor.runtime.process.plain_values import plain
from advisor.tuning import policy
from advisor.tuning.candidates import BackboneAtSize

REMEMBERED = 1000  # the newest trials that the estimator certainly looks at; its cost grows with what it looks at
BEST_REMEMBERED = 100  # of all that came before those; the estimator's better group never holds more than 25
Backbones = Sequence[BackboneAtSize]
Contexts = Callable[[str, int], Context]
Shown = tuple[
    dict[str, Any], dict[str, optuna.distributions.BaseDistribution]
]  # parameters, and what each is drawn from


class ScopedTrial:
    """Optuna's trial as a strategy sees it: parameter names carry the strategy's name in the study."""

    def __init__(self, trial: Any, scope: str) -> None:
        self._trial = trial
        self._scope = scope

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number in [low, high]."""
        return float(self._trial.suggest_float(f"{self._scope}.{name}", low, high, log=log))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number in [low, high]."""
        return int(self._trial.suggest_int(f"{self._scope}.{name}", low, high, log=log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Draw one of `choices`."""
        return self._trial.suggest_categorical(f"{self._scope}.{name}", [plain(choice) for choice in choices])


class StudyMirror:
    """What the sampler has seen of one study, for one choice of backbones and strategies.

    Backbone and size are one choice, so that a size is only compared within its backbone. Every strategy must
    apply to every backbone: what applies to some of them only is left to the portfolio.
    """

    def __init__(self, seed: int, backbones: Backbones, strategies: Mapping[str, Strategy], context: Contexts) -> None:
        self.seed = seed
        self.backbones = [BackboneAtSize(*at) for at in backbones]
        self.strategies = strategies
        self.context = context
        self._forgotten = -1  # what was begun before this number is only remembered where it was good
        self._mirror: optuna.Study | None = None
        self._numbers: dict[int, int] = {}  # of trials in the mirror, by those in the study
        self._open: set[int] = set()  # numbers that the mirror holds as running
        self._size = 0  # of the mirror, what was drawn in it included

    def sample(self, begun: Mapping[int, Candidate], ended: Mapping[int, Trial], *, attempt: int = 0) -> Candidate:
        """Draw the next candidate: backbone with input size, strategy, and the strategy's own parameters.

        Another `attempt` is another draw from the same knowledge.
        """
        mirror = self._learn(begun, ended)
        mirror.sampler = optuna.samplers.TPESampler(
            seed=rng.key(self.seed, "sampler", len(begun), attempt) % 2**31,
            multivariate=True,
            group=True,
            n_startup_trials=policy.RANDOM_TRIALS,
        )
        drawn = mirror.ask()
        self._size += 1
        at = self.backbones[drawn.suggest_categorical("backbone", list(range(len(self.backbones))))]
        name = drawn.suggest_categorical("strategy", sorted(self.strategies))
        parameters = dict(self.strategies[name].space(ScopedTrial(drawn, name), self.context(*at)))
        mirror.tell(drawn, state=optuna.trial.TrialState.FAIL)  # the estimator looks past what failed
        return Candidate(backbone=at.name, strategy=name, parameters=parameters, origin="sampled", size_px=at.size_px)

    def _learn(self, begun: Mapping[int, Candidate], ended: Mapping[int, Trial]) -> optuna.Study:
        """Update the mirror: new trials, and the ends of those that were under way."""
        forgotten = max(0, len(begun) // REMEMBERED - 1) * REMEMBERED
        if self._mirror is None or forgotten != self._forgotten:
            self._forgotten, self._numbers, self._open, self._size = forgotten, {}, set(), 0
            self._mirror = optuna.create_study(direction="minimize")
            old = sorted((t.loss, n) for n, t in ended.items() if n < forgotten and t.state != "failed")
            for _, number in sorted(old[:BEST_REMEMBERED], key=lambda pair: pair[1]):
                self._add(number, begun[number], ended[number])
        for number in sorted(self._open & ended.keys()):
            self._tell(number, ended[number])
        for number in sorted(begun):
            if number >= forgotten and number not in self._numbers:
                self._add(number, begun[number], ended.get(number))
        return self._mirror

    def _add(self, number: int, candidate: Candidate, trial: Trial | None) -> None:
        assert self._mirror is not None
        frozen = None if trial is not None and trial.state == "failed" else self._frozen(candidate, trial)
        self._numbers[number] = -1
        if frozen is not None:
            self._mirror.add_trial(frozen)
            self._numbers[number] = self._size
            self._size += 1
            self._open |= set() if trial is not None else {number}

    def _tell(self, number: int, trial: Trial) -> None:
        assert self._mirror is not None
        self._open.remove(number)
        if trial.state == "failed":
            self._mirror.tell(self._numbers[number], state=optuna.trial.TrialState.FAIL)
        else:
            self._mirror.tell(self._numbers[number], trial.loss)

    def _frozen(self, candidate: Candidate, trial: Trial | None) -> optuna.trial.FrozenTrial | None:
        """Turn a trial into one that the sampler can learn from; None where its backbone or strategy is out."""
        at = BackboneAtSize.of(candidate)
        if at not in self.backbones or candidate.strategy not in self.strategies:
            return None
        scope = candidate.strategy
        recorded = Recorded(candidate.parameters)
        self.strategies[scope].space(recorded, self.context(*at))
        everywhere = {
            "backbone": optuna.distributions.CategoricalDistribution(list(range(len(self.backbones)))),
            "strategy": optuna.distributions.CategoricalDistribution(sorted(self.strategies)),
        }
        return optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING if trial is None else optuna.trial.TrialState.COMPLETE,
            value=None if trial is None else trial.loss,
            params={
                "backbone": self.backbones.index(at),
                "strategy": scope,
                **{f"{scope}.{n}": v for n, v in recorded.values.items()},
            },
            distributions={**everywhere, **{f"{scope}.{n}": d for n, d in recorded.distributions.items()}},
        )


class Recorded:
    """Stands in for a trial whose parameters are known: notes the distribution of every parameter that is asked for."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters
        self.distributions: dict[str, optuna.distributions.BaseDistribution] = {}
        self.values: dict[str, Any] = {}

    def _take(self, name: str, distribution: optuna.distributions.BaseDistribution, inside: Any) -> Any:
        self.distributions[name] = distribution
        self.values[name] = inside
        return inside

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return the recorded number, moved into the range where the guess lay outside of what is searched."""
        value = min(high, max(low, float(self.parameters.get(name, low))))
        return float(self._take(name, optuna.distributions.FloatDistribution(low, high, log=log), value))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return the recorded whole number, moved into the range."""
        value = min(high, max(low, int(self.parameters.get(name, low))))
        return int(self._take(name, optuna.distributions.IntDistribution(low, high, log=log), value))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the recorded choice, the first one where it is none of them."""
        choices = [plain(choice) for choice in choices]
        value = self.parameters.get(name, choices[0])
        choice = value if value in choices else choices[0]
        self.distributions[name] = optuna.distributions.CategoricalDistribution(choices)
        self.values[name] = choice
        return choice


def shown(candidate: Candidate, names: Mapping[str, Sequence[str]], strategy: Strategy, context: Context) -> Shown:
    """Return a candidate as Optuna's parameters with their distributions, as a dashboard shows them.

    `names` are all backbones and all strategies. What lies outside of the searched range widens it; what is not searched
    at all is left out unless it is a number.
    """
    recorded = Recorded(candidate.parameters)
    strategy.space(recorded, context)
    parameters: dict[str, Any] = {"size_px": candidate.size_px}
    distributions: dict[str, Any] = {"size_px": optuna.distributions.IntDistribution(16, 2048)}
    for name, value in (("backbone", candidate.backbone), ("strategy", candidate.strategy)):
        parameters[name] = value
        distributions[name] = optuna.distributions.CategoricalDistribution(list(names[name]))
    for name, value in candidate.parameters.items():
        searched = _around(value, recorded.distributions.get(name))
        if searched is not None:
            parameters[f"{candidate.strategy}.{name}"] = value
            distributions[f"{candidate.strategy}.{name}"] = searched
    contained = {
        n: v for n, v in parameters.items() if distributions[n]._contains(distributions[n].to_internal_repr(v))
    }
    return contained, {n: distributions[n] for n in contained}


def _around(value: Any, searched: optuna.distributions.BaseDistribution | None) -> Any:
    """Widen what is searched until it holds `value`; None where it cannot."""
    if isinstance(searched, optuna.distributions.CategoricalDistribution):
        return searched if value in searched.choices else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if searched is None:
        return optuna.distributions.FloatDistribution(float(value), float(value))
    if searched.log and value <= 0:
        return None
    low, high = min(searched.low, value), max(searched.high, value)
    return type(searched)(low, high, log=searched.log)
