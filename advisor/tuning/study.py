"""The study: Optuna ask and tell on one SQLite file with one writer, so that a killed search goes on as if nothing was.

In: candidates and trials. Out: the next candidate to sample, numbers, records. A sampled candidate is drawn from an
in-memory copy of the trials by a sampler seeded from (seed, number of trials begun), and enters the file with all
parameters fixed: whatever instant a kill hits, the same candidate comes again under the same number (docs/design.md 4.5).
Does NOT cover: drawing (sampler.py), which candidates to try, when to stop (search.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import optuna

from advisor.errors import OutputError
from advisor.hooks import Strategy
from advisor.records import Candidate, Trial
from advisor.tuning import sampler

NAME = "tl-advise"
AGAIN_AT_MOST = 3  # times that one trial is begun again after its worker went away
T = TypeVar("T")


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
        self.path = path
        # A reader may hold the file's lock for a moment; wait for it rather than fail.
        patient = {"connect_args": {"timeout": 60}}
        storage = self._write(lambda: optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs=patient))
        self._load(storage, NAME, seed)

    def _load(self, storage: Any, name: str, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.seed = seed
        self.storage = storage
        self.study = self._write(
            lambda: optuna.create_study(storage=storage, study_name=name, load_if_exists=True, direction="minimize")
        )
        self._begun: dict[int, Candidate] = {}
        self._ended: dict[int, Trial] = {}
        self._keys: set[str] = set()
        self._lost: dict[int, int | None] = {}  # trials whose worker went away: the number of the one in their place
        self._memory: tuple[Any, sampler.StudyMirror] | None = None
        self._read()

    def _write(self, operation: Callable[[], T]) -> T:
        with _on_disk(self.path):
            return operation()

    def trials(self) -> list[Trial]:
        """Give the finished trials, in order of their numbers."""
        return list(self._ended.values())

    def candidates(self) -> list[Candidate]:
        """Give what every trial was begun with, finished or not."""
        return list(self._begun.values())

    def candidate(self, number: int) -> Candidate:
        """Give what a trial was begun with."""
        return self._begun[number]

    def tried(self, candidate: Candidate) -> bool:
        """Whether the same was begun before, whoever proposed it."""
        return key(candidate) in self._keys

    def first(self) -> Trial | None:
        """Give the untuned default's trial once it has ended: number 0, or the last that was begun in its place."""
        number = 0
        while (again := self._lost.get(number)) is not None:
            number = again
        return self._ended.get(number)

    def lost(self) -> list[int]:
        """Give the trials whose worker went away and that are to be begun again: a few times, in case it is their fault."""
        return sorted(n for n, again in self._lost.items() if again is None and self._losses(n) <= AGAIN_AT_MOST)

    def _losses(self, number: int) -> int:
        before = {again: lost for lost, again in self._lost.items() if again is not None}
        losses = 1
        while number in before:
            number, losses = before[number], losses + 1
        return losses

    @property
    def counted(self) -> int:
        """How many trials were begun; one that was lost and those in its place count once."""
        return len(self._begun) - sum(again is not None for again in self._lost.values())

    def _read(self) -> None:
        """Take in what is in the database and not known yet; every record is decoded once."""
        trials = self._write(lambda: self.study.get_trials(deepcopy=False))
        for trial in trials:
            if trial.number not in self._begun:
                self._take(trial.number, msgspec.json.decode(trial.user_attrs["candidate"], type=Candidate))
            if trial.number not in self._ended and trial.state.is_finished():
                self._note(record(trial))
                if "lost" in trial.user_attrs and trial.state == optuna.trial.TrialState.FAIL:
                    self._lost.setdefault(trial.number, None)
            if "again" in trial.user_attrs:
                self._lost[int(trial.user_attrs["again"])] = trial.number

    def _take(self, number: int, candidate: Candidate) -> None:
        self._begun[number] = candidate
        self._keys.add(key(candidate))

    def _note(self, trial: Trial) -> None:
        late = bool(self._ended) and trial.number < next(reversed(self._ended))
        self._ended[trial.number] = trial
        if late:
            self._ended = dict(sorted(self._ended.items()))

    def interrupted(self) -> list[tuple[int, Candidate]]:
        """Give the trials that were begun and did not end, in order of their numbers."""
        return [(number, candidate) for number, candidate in self._begun.items() if number not in self._ended]

    def begin(self, candidate: Candidate, shown: sampler.Shown | None = None, *, again: int | None = None) -> int:
        """Write a trial down as running, all its parameters fixed, and give its number.

        `shown` are its parameters as Optuna's, for whoever looks at the study; nothing is read back from them. `again`
        is the lost trial in whose place it stands.
        """
        attributes: dict[str, Any] = {"candidate": msgspec.json.encode(candidate).decode()}
        if again is not None:
            attributes["again"] = again
        try:
            number = self._create(shown or ({}, {}), attributes)
        except ValueError:  # options that differ between backbones: Optuna takes one list for a name
            number = self._create(({}, {}), attributes)
        self._take(number, candidate)
        if again is not None:
            self._lost[again] = number
        return number

    def _create(self, shown: sampler.Shown, attributes: dict[str, Any]) -> int:
        parameters, distributions = shown
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=parameters,
            distributions=distributions,
            user_attrs=attributes,
        )

        def create() -> int:
            identity = self.storage.create_new_trial(self.study._study_id, template)
            return int(self.storage.get_trial(identity).number)

        return self._write(create)

    def finish(self, trial: Trial) -> None:
        """Write a trial's end down: its record first, then its state, so that no finished trial lacks its record."""
        self._write(lambda: write_end(self.storage, self.study._study_id, trial, "record"))
        self._note(trial)

    def close(self) -> None:
        """Note that no trial will follow; nobody waits for one in a file of one's own."""

    def leave(self) -> None:
        """Let go of the study; a file of one's own goes with the process."""

    def sample(
        self,
        backbones: sampler.Places,
        strategies: Mapping[str, Strategy],
        context: sampler.Contexts,
        *,
        attempt: int = 0,
    ) -> Candidate:
        """Draw the next candidate; another `attempt` is another draw from the same knowledge."""
        chosen = (tuple(backbones), tuple(sorted(strategies)))
        if self._memory is None or self._memory[0] != chosen:
            self._memory = (chosen, sampler.StudyMirror(self.seed, backbones, strategies, context))
        return self._memory[1].sample(self._begun, self._ended, attempt=attempt)


def key(candidate: Candidate) -> str:
    """Name what a candidate trains, whoever proposed it."""
    parameters = sorted((k, repr(v)) for k, v in candidate.parameters.items())
    return f"{candidate.backbone} {candidate.size_px} {candidate.strategy} {parameters}"


def record(trial: optuna.trial.FrozenTrial) -> Trial:
    """Read the record of a finished trial. Its worker and its coordinator write apart, so that the state decides."""
    lost = trial.state == optuna.trial.TrialState.FAIL and "lost" in trial.user_attrs
    return msgspec.json.decode(trial.user_attrs["lost" if lost else "record"], type=Trial)


def write_end(storage: Any, study: int, trial: Trial, attribute: str) -> None:
    """Write a trial's record, then its state. Raises Optuna's UpdateFinishedTrialError where it has ended already."""
    state = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
    }[trial.state]
    identity = storage.get_trial_id_from_study_id_trial_number(study, trial.number)
    storage.set_trial_user_attr(identity, attribute, msgspec.json.encode(trial).decode())
    storage.set_trial_state_values(
        identity, state=state, values=[trial.log_loss] if trial.state == "complete" else None
    )
