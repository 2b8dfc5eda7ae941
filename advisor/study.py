"""The study: Optuna ask and tell on one SQLite file with one writer, so that a killed search goes on as if nothing was.

In: candidates and trials. Out: the next candidate to sample, numbers, records. A sampled candidate is drawn from an
in-memory copy of the finished trials by a sampler rebuilt from (seed, number of finished trials), and enters the file
with all parameters fixed: whatever instant a kill hits, the same candidate comes again under the same number (DESIGN
4.5). Does NOT cover: which candidates to enqueue, when to stop (search.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import optuna

from advisor import randomness
from advisor.errors import OutputError
from advisor.hooks import Context, Strategy
from advisor.records import Candidate, Trial

NAME = "tl-advise"
STARTUP_TRIALS = 6  # sampled at random before the estimator speaks; the portfolio counts as information from the start


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
        return self._trial.suggest_categorical(f"{self._scope}.{name}", list(choices))


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Tell a database that cannot be written (a full disk) in one line."""
    import sqlalchemy.exc

    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.OperationalError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:160]
        raise OutputError(
            f"{path}: cannot be written ({reason}).",
            hint=f"Free some space, then `tl-advise resume {path.parent}`.",
        ) from error


class Study:
    """The trials of one run. One process writes; a dashboard may read the file meanwhile."""

    def __init__(self, path: Path, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.seed = seed
        self.path = path
        # A reader may hold the file's lock for a moment; wait for it rather than fail.
        with _on_disk(path):
            storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
        self.storage = storage
        with _on_disk(path):
            self.study = optuna.create_study(
                storage=storage, study_name=NAME, load_if_exists=True, direction="minimize"
            )

    def trials(self) -> list[Trial]:
        """Give the finished trials, in order of their numbers."""
        return [
            msgspec.json.decode(t.user_attrs["record"], type=Trial)
            for t in self.study.get_trials(deepcopy=False)
            if t.state.is_finished() and "record" in t.user_attrs
        ]

    def candidates(self) -> list[Candidate]:
        """Give what every trial was begun with, finished or not."""
        return [
            msgspec.json.decode(t.user_attrs["candidate"], type=Candidate)
            for t in self.study.get_trials(deepcopy=False)
            if "candidate" in t.user_attrs
        ]

    def interrupted(self) -> tuple[int, Candidate] | None:
        """Give the trial that was waiting or running when an earlier process ended, if there is one."""
        open_states = (optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.WAITING)
        for trial in self.study.get_trials(deepcopy=False, states=open_states):
            return trial.number, msgspec.json.decode(trial.user_attrs["candidate"], type=Candidate)
        return None

    def begin(self, candidate: Candidate) -> int:
        """Write a trial down as running, all its parameters fixed, and give its number; adopts one that was cut off."""
        with _on_disk(self.path):
            cut_off = self.interrupted()
            if cut_off is None:
                attributes = {"candidate": msgspec.json.encode(candidate).decode()}
                self.study.enqueue_trial({}, user_attrs=attributes)
            waiting = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
            if waiting:
                return int(self.study.ask().number)
        assert cut_off is not None
        return cut_off[0]  # it runs already, under its own number

    def finish(self, trial: Trial) -> None:
        """Write a trial's end down: its record first, then its state, so that no finished trial lacks its record."""
        state = {
            "complete": optuna.trial.TrialState.COMPLETE,
            "pruned": optuna.trial.TrialState.PRUNED,
            "failed": optuna.trial.TrialState.FAIL,
        }[trial.state]
        values = [trial.log_loss] if trial.state == "complete" else None
        with _on_disk(self.path):
            identity = self.study.get_trials(deepcopy=False)[trial.number]._trial_id
            self.storage.set_trial_user_attr(identity, "record", msgspec.json.encode(trial).decode())
            self.storage.set_trial_state_values(identity, state=state, values=values)

    def sample(
        self,
        backbones: Sequence[tuple[str, int]],
        strategies: Mapping[str, Strategy],
        context: Callable[[str, int], Context],
        *,
        attempt: int = 0,
    ) -> Candidate:
        """Draw the next candidate: backbone with input size, strategy, and the strategy's own parameters.

        Another `attempt` is another draw from the same knowledge.
        Backbone and size are one choice, so that a size is only compared within its backbone. Every strategy must
        apply to every backbone: what applies to some of them only is left to the portfolio.
        """
        finished = self.trials()
        sampler = optuna.samplers.TPESampler(
            seed=randomness.key(self.seed, "sampler", len(finished), attempt) % 2**31,
            multivariate=True,
            group=True,
            n_startup_trials=STARTUP_TRIALS,
        )
        mirror = optuna.create_study(direction="minimize", sampler=sampler)
        mirror.add_trials([f for t in finished if (f := _frozen(t, backbones, strategies, context)) is not None])
        drawn = mirror.ask()
        place = backbones[drawn.suggest_categorical("backbone", list(range(len(backbones))))]
        name = drawn.suggest_categorical("strategy", sorted(strategies))
        parameters = dict(strategies[name].space(ScopedTrial(drawn, name), context(*place)))
        return Candidate(backbone=place[0], strategy=name, parameters=parameters, origin="sampled", size_px=place[1])


class _Recorded:
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
        """Give the recorded number, moved into the range where the guess lay outside of what is searched."""
        value = min(high, max(low, float(self.parameters.get(name, low))))
        return float(self._take(name, optuna.distributions.FloatDistribution(low, high, log=log), value))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Give the recorded whole number, moved into the range."""
        value = min(high, max(low, int(self.parameters.get(name, low))))
        return int(self._take(name, optuna.distributions.IntDistribution(low, high, log=log), value))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Give the recorded choice, the first one where it is none of them."""
        value = self.parameters.get(name, choices[0])
        known = value if value in choices else choices[0]
        self.distributions[name] = optuna.distributions.CategoricalDistribution(list(choices))
        self.values[name] = known
        return known


def _frozen(
    trial: Trial,
    backbones: Sequence[tuple[str, int]],
    strategies: Mapping[str, Strategy],
    context: Callable[[str, int], Context],
) -> optuna.trial.FrozenTrial | None:
    """Turn a finished trial into one that the sampler can learn from; None where its backbone or strategy is out."""
    place = (trial.candidate.backbone, trial.candidate.size_px)
    if place not in backbones or trial.candidate.strategy not in strategies or trial.state == "failed":
        return None
    recorded = _Recorded(trial.candidate.parameters)
    strategies[trial.candidate.strategy].space(recorded, context(*place))
    scope = trial.candidate.strategy
    everywhere = {
        "backbone": optuna.distributions.CategoricalDistribution(list(range(len(backbones)))),
        "strategy": optuna.distributions.CategoricalDistribution(sorted(strategies)),
    }
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE,
        value=trial.log_loss,
        params={
            "backbone": backbones.index(place),
            "strategy": scope,
            **{f"{scope}.{n}": v for n, v in recorded.values.items()},
        },
        distributions={**everywhere, **{f"{scope}.{n}": d for n, d in recorded.distributions.items()}},
    )
