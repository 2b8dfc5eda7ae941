"""The study: Optuna ask and tell on one SQLite file with one writer, so that a killed search goes on as if nothing was.

In: candidates and trials. Out: the next candidate to sample, numbers, records. A sampled candidate is drawn from an
in-memory copy of the trials by a sampler seeded from (seed, number of trials begun), and enters the file with all
parameters fixed: whatever instant a kill hits, the same candidate comes again under the same number (DESIGN 4.5).
Does NOT cover: drawing (sampler.py), which candidates to try, when to stop (search.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import optuna

from advisor import sampler
from advisor.errors import OutputError
from advisor.hooks import Strategy
from advisor.records import Candidate, Trial

NAME = "tl-advise"


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
        self._begun: dict[int, Candidate] = {}
        self._ended: dict[int, Trial] = {}
        self._keys: set[str] = set()
        self._memory: tuple[Any, sampler.Memory] | None = None
        with _on_disk(path):
            self._read()

    def trials(self) -> list[Trial]:
        """Give the finished trials, in order of their numbers."""
        return list(self._ended.values())

    def candidates(self) -> list[Candidate]:
        """Give what every trial was begun with, finished or not."""
        return list(self._begun.values())

    def tried(self, candidate: Candidate) -> bool:
        """Whether the same was begun before, whoever proposed it."""
        return key(candidate) in self._keys

    def first(self) -> Trial | None:
        """Give the trial with number 0, the untuned default's, once it has ended."""
        return self._ended.get(0)

    def _read(self) -> None:
        """Take in what is in the database and not known yet; every record is decoded once."""
        trials = self.study.get_trials(deepcopy=False)
        for trial in trials[len(self._begun) :]:
            self._take(trial.number, msgspec.json.decode(trial.user_attrs["candidate"], type=Candidate))
        for trial in trials:
            if trial.number not in self._ended and trial.state.is_finished():
                self._note(msgspec.json.decode(trial.user_attrs["record"], type=Trial))

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

    def begin(self, candidate: Candidate, shown: sampler.Shown | None = None) -> int:
        """Write a trial down as running, all its parameters fixed, and give its number.

        `shown` are its parameters as Optuna's, for whoever looks at the study; nothing is read back from them.
        """
        attributes = {"candidate": msgspec.json.encode(candidate).decode()}
        with _on_disk(self.path):
            try:
                number = self._create(shown or ({}, {}), attributes)
            except ValueError:  # options that differ between backbones: Optuna takes one list for a name
                number = self._create(({}, {}), attributes)
        self._take(number, candidate)
        return number

    def _create(self, shown: sampler.Shown, attributes: dict[str, Any]) -> int:
        parameters, distributions = shown
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=parameters,
            distributions=distributions,
            user_attrs=attributes,
        )
        identity = self.storage.create_new_trial(self.study._study_id, template)
        return int(self.storage.get_trial(identity).number)

    def finish(self, trial: Trial) -> None:
        """Write a trial's end down: its record first, then its state, so that no finished trial lacks its record."""
        state = {
            "complete": optuna.trial.TrialState.COMPLETE,
            "pruned": optuna.trial.TrialState.PRUNED,
            "failed": optuna.trial.TrialState.FAIL,
        }[trial.state]
        values = [trial.log_loss] if trial.state == "complete" else None
        with _on_disk(self.path):
            identity = self.storage.get_trial_id_from_study_id_trial_number(self.study._study_id, trial.number)
            self.storage.set_trial_user_attr(identity, "record", msgspec.json.encode(trial).decode())
            self.storage.set_trial_state_values(identity, state=state, values=values)
        self._note(trial)

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
            self._memory = (chosen, sampler.Memory(self.seed, backbones, strategies, context))
        return self._memory[1].sample(self._begun, self._ended, attempt=attempt)


def key(candidate: Candidate) -> str:
    """Name what a candidate trains, whoever proposed it."""
    parameters = sorted((k, repr(v)) for k, v in candidate.parameters.items())
    return f"{candidate.backbone} {candidate.size_px} {candidate.strategy} {parameters}"
