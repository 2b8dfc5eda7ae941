"""The study: Optuna ask and tell with one writer, so that a killed search goes on as if nothing had happened.

In: candidates and trials. Out: the next candidate to sample, numbers, records. A sampled candidate is drawn from an
in-memory copy of the trials by a sampler seeded from (seed, number of trials begun), and enters the storage with all
parameters fixed: whatever instant a kill hits, the same candidate comes again under the same number (docs/design.md 4.5).
Does NOT cover: drawing (`sampler`), where it stands (`storage`), which candidates to try and when to stop (`search`).
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import optuna

from advisor.errors import InputError
from advisor.hooks import Strategy
from advisor.records import Candidate, Trial
from advisor.runtime import json_records
from advisor.tuning.trials import sampler
from advisor.tuning.trials.storage import Database, StudyFile, StudyStorage

NAME = "tl-advise"
T = TypeVar("T")
STATES = {
    "complete": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}


class Study:
    """The trials of one run. One process writes; a dashboard may read meanwhile.

    `where` is a file of the run's own, or a database that holds studies by `name`; there `run` marks whose study it is.
    Raises InputError where the study of that name is another run's.
    """

    def __init__(self, where: Path | Database, seed: int, *, name: str = NAME, run: str = "") -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.seed = seed
        self.name = name
        self._where: StudyStorage = StudyFile(where) if isinstance(where, Path) else where
        self._shared = isinstance(where, Database)
        storage = self._where.storage
        self.study: optuna.Study = self._write(
            lambda: optuna.create_study(storage=storage, study_name=name, load_if_exists=True, direction="minimize")
        )
        self._begun: dict[int, Candidate] = {}
        self._ended: dict[int, Trial] = {}
        self._keys: set[str] = set()
        self._mirror: tuple[Any, sampler.StudyMirror] | None = None
        if self._shared:
            self._mark(run)
        self._read()

    @property
    def storage(self) -> Any:
        """Optuna's storage."""
        return self._where.storage

    def _write(self, operation: Callable[[], T]) -> T:
        return self._where.run(operation)

    def _mark(self, run: str) -> None:
        """Note whose study this is, so that two runs never mix their trials."""
        marked = self._write(lambda: self.study.user_attrs).get("run")
        if marked not in (None, run):
            raise InputError(
                f"study {self.name}: holds the trials of another run.", hint="Give another --study, or resume that run."
            )
        self._write(lambda: self.study.set_user_attr("run", run))

    def trials(self) -> list[Trial]:
        """Return the finished trials, in order of their numbers."""
        return list(self._ended.values())

    def candidates(self) -> list[Candidate]:
        """Return what every trial was begun with, finished or not."""
        return list(self._begun.values())

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all candidates that were begun."""
        return frozenset(self._keys)

    def first(self) -> Trial | None:
        """Return the untuned default's trial, number 0, once it has ended."""
        return self._ended.get(0)

    @property
    def counted(self) -> int:
        """How many trials were begun."""
        return len(self._begun)

    def _read(self) -> None:
        """Read what is in the storage; every record is decoded once. Raises InputError where one cannot be."""
        try:
            for trial in self._write(lambda: self.study.get_trials(deepcopy=False)):
                self._take(trial.number, json_records.decode(trial.user_attrs["candidate"], Candidate))
                if trial.state.is_finished():
                    self._note(json_records.decode(trial.user_attrs["record"], Trial))
        except (msgspec.MsgspecError, ValueError, LookupError, TypeError) as error:  # Optuna reads JSON and numbers too
            raise self._where.damaged(error) from error

    def _take(self, number: int, candidate: Candidate) -> None:
        self._begun[number] = candidate
        self._keys.add(key(candidate))

    def _note(self, trial: Trial) -> None:
        late = bool(self._ended) and trial.number < next(reversed(self._ended))
        self._ended[trial.number] = trial
        if late:
            self._ended = dict(sorted(self._ended.items()))

    def interrupted(self) -> list[tuple[int, Candidate]]:
        """Return the trials that were begun and did not end, in order of their numbers."""
        return [(number, candidate) for number, candidate in self._begun.items() if number not in self._ended]

    def begin(self, candidate: Candidate, shown: sampler.Shown | None = None) -> int:
        """Write a trial down as running, all its parameters fixed, and return its number.

        `shown` are its parameters as Optuna's, for dashboards; nothing is read back from them.
        """
        attributes = {"candidate": msgspec.json.encode(candidate).decode()}
        try:
            number = self._create(shown or ({}, {}), attributes)
        except ValueError:  # options that differ between backbones: Optuna takes one list for a name
            number = self._create(({}, {}), attributes)
        self._take(number, candidate)
        return number

    def _create(self, shown: sampler.Shown, attributes: dict[str, str]) -> int:
        parameters, distributions = shown
        token = {"token": uuid.uuid4().hex} if self._shared else {}
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=parameters,
            distributions=distributions,
            user_attrs={**attributes, **token},
        )
        tries = 0

        def create() -> int:
            nonlocal tries
            tries += 1
            if tries > 1:  # the reply to an earlier try may have been lost on the way back
                for trial in self.study.get_trials(deepcopy=False)[len(self._begun) :]:
                    if trial.user_attrs.get("token") == token["token"]:
                        return int(trial.number)
            identity = self.storage.create_new_trial(self.study._study_id, template)
            return int(self.storage.get_trial(identity).number)

        return self._write(create)

    def finish(self, trial: Trial) -> None:
        """Write a trial's end down: its record first, then its state, so that no finished trial lacks its record."""
        identity = self._write(
            lambda: self.storage.get_trial_id_from_study_id_trial_number(self.study._study_id, trial.number)
        )

        def write() -> None:
            self.storage.set_trial_user_attr(identity, "record", msgspec.json.encode(trial).decode())
            values = [trial.loss] if trial.state == "complete" else None
            self.storage.set_trial_state_values(identity, state=STATES[trial.state], values=values)

        try:
            self._write(write)
        except optuna.exceptions.UpdateFinishedTrialError:  # an earlier try's reply was lost: it is written
            if not self._shared:
                raise
        self._note(trial)

    def sample(
        self,
        backbones: sampler.Backbones,
        strategies: Mapping[str, Strategy],
        context: sampler.Contexts,
        *,
        attempt: int = 0,
    ) -> Candidate:
        """Draw the next candidate; another `attempt` is another draw from the same knowledge."""
        chosen = (tuple(backbones), tuple(sorted(strategies)))
        if self._mirror is None or self._mirror[0] != chosen:
            self._mirror = (chosen, sampler.StudyMirror(self.seed, backbones, strategies, context))
        return self._mirror[1].sample(self._begun, self._ended, attempt=attempt)


def key(candidate: Candidate) -> str:
    """Return what a candidate trains as a text, the same whoever proposed it."""
    parameters = sorted((k, repr(v)) for k, v in candidate.parameters.items())
    return f"{candidate.backbone} {candidate.size_px} {candidate.strategy} {parameters}"
