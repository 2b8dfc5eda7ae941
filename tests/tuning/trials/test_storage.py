"""A study in a team's database: one coordinator writes it, Optuna reads it, and no secret is shown or written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import sleepers

from advisor.errors import DatabaseError, InputError
from advisor.records import Candidate
from advisor.records.messages import RunTrial
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.trials import storage
from advisor.tuning.trials.study import Study


def candidate(rate: float) -> Candidate:
    """A candidate that differs by its rate."""
    return Candidate(backbone="pocket", strategy="full", parameters={"rate": rate})


def finish(study: Study, number: int, chosen: Candidate) -> None:
    """Write down the end of a trial."""
    order = RunTrial(number=number, candidate=chosen, folds=(0,), repeat=0, seed=0, started_s=0.0)
    study.finish(sleepers.scored(order))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database of its own."""
    return f"sqlite:///{tmp_path / 'team.db'}"


def test_optuna_reads_the_study_of_a_run(url: str) -> None:
    """A dashboard or a notebook loads it by its name and finds every trial with its value."""
    study = Study(storage.Database(url), 0, name="photos", run="run-1")
    for number, rate in enumerate((0.1, 0.2, 0.3)):
        assert study.begin(candidate(rate)) == number
        finish(study, number, candidate(rate))
    loaded = optuna.load_study(study_name="photos", storage=url)
    assert [trial.state.name for trial in loaded.trials] == ["COMPLETE"] * 3
    assert [trial.value for trial in loaded.trials] == [trial.log_loss for trial in study.trials()]


def test_a_resumed_run_finds_its_trials_and_those_under_way(url: str) -> None:
    """Finished trials stay finished, one that was under way is begun again under its number, numbers go on."""
    study = Study(storage.Database(url), 0, name="photos", run="run-1")
    finish(study, study.begin(candidate(0.1)), candidate(0.1))
    assert study.begin(candidate(0.2)) == 1
    again = Study(storage.Database(url), 0, name="photos", run="run-1")
    assert [trial.number for trial in again.trials()] == [0]
    assert again.trials() == study.trials()
    assert again.interrupted() == [(1, candidate(0.2))]
    assert candidate(0.2) in again.candidates()
    finish(again, 1, candidate(0.2))
    assert again.begin(candidate(0.3)) == 2


def test_a_study_has_one_run_that_writes_it(url: str) -> None:
    """The study of another run is refused; another name in the same database is another study."""
    Study(storage.Database(url), 0, name="photos", run="run-1")
    with pytest.raises(InputError, match="another run") as caught:
        Study(storage.Database(url), 0, name="photos", run="run-2")
    assert "--study" in caught.value.hint
    assert Study(storage.Database(url), 0, name="other", run="run-2").counted == 0


def test_a_database_draws_what_a_file_draws(url: str, tmp_path: Path) -> None:
    """Where the study stands does not change the search: the same trials with the same seed."""
    strategies: dict[str, Any] = {"full": sleepers.Rates()}
    spaces = ([BackboneAtSize("pocket", 64)], strategies, sleepers.context)
    studies = [Study(tmp_path / "study.db", 7), Study(storage.Database(url), 7, name="photos", run="run-1")]
    drawn: list[list[Candidate]] = [[], []]
    for study, candidates in zip(studies, drawn, strict=True):
        for number in range(12):
            candidates.append(study.sample(*spaces))
            study.begin(candidates[-1])
            finish(study, number, candidates[-1])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    "text", ["postgresql://me:secret@server/searches", "postgresql://me@server/searches?password=secret"]
)
def test_a_password_on_the_command_line_is_refused_and_never_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody on the machine can read a command line; the environment holds the secret instead."""
    monkeypatch.delenv(storage.VARIABLE, raising=False)
    with pytest.raises(InputError) as caught:
        storage.address(text)
    assert "secret" not in str(caught.value)
    assert storage.public(text) == "postgresql://me@server/searches"
    monkeypatch.setenv(storage.VARIABLE, text)
    assert storage.address("postgresql://me@server/searches") == text
    assert storage.address("postgresql://me@server/other") == "postgresql://me@server/other"


@pytest.mark.parametrize(
    ("text", "what"),
    [("no address", "not a URL"), ("sqlite:////nowhere/at/all.db", "cannot be opened"), ("abc://x/y", "--storage|abc")],
)
def test_a_database_that_cannot_be_opened_is_one_line(text: str, what: str) -> None:
    """Exit code 2 and what to do, at the start."""
    with pytest.raises(InputError, match=what) as caught:
        storage.Database(text)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_database_that_stays_away_is_one_line_without_its_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time of patience: exit code 4, and the word that goes on."""
    monkeypatch.setattr(storage, "PATIENCE_S", 0.0)
    study = Study(storage.Database(url), 0, name="photos", run="run-1")
    study.storage.engine.dispose()
    (tmp_path / "team.db").unlink()
    (tmp_path / "team.db").mkdir()
    with pytest.raises(DatabaseError) as caught:
        study.begin(candidate(0.5))
    assert caught.value.exit_code == 4
    assert "resume" in caught.value.hint


def test_a_trial_that_another_program_put_into_the_study_is_one_line(url: str) -> None:
    """Optuna's dashboard can do that: the study is named, and what to do."""
    Study(storage.Database(url), 0, name="photos", run="run-1")
    optuna.load_study(study_name="photos", storage=url).ask()
    with pytest.raises(InputError, match=r"the study holds a trial that cannot be read .*another --study"):
        Study(storage.Database(url), 0, name="photos", run="run-1")
