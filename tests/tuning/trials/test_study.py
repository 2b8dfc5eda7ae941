"""The study survives a kill at any instant, and samples the same candidates whether it was killed or not."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from advisor.errors import InputError, OutputError
from advisor.hooks import Context, Space
from advisor.records import Candidate, FoldScore, Trial
from advisor.tuning.trials import storage
from advisor.tuning.trials.study import Study

PLACES = [("small", 64), ("large", 96)]


class Rates:
    """A strategy with one parameter of each kind."""

    regime = "full"
    card = "for tests"

    def __init__(self, name: str) -> None:
        self.name = name

    def applies(self, context: Context) -> str | None:
        """Always."""
        return None

    def space(self, trial: Space, context: Context) -> Mapping[str, Any]:
        """Draw a rate, a depth and a schedule."""
        return {
            "rate": trial.suggest_float("rate", 1e-4, 1.0, log=True),
            "depth": trial.suggest_int("depth", 1, 4),
            "schedule": trial.suggest_categorical("schedule", ["cosine", "step"]),
        }


STRATEGIES = {"one": Rates("one"), "two": Rates("two")}


def context(name: str, size_px: int) -> Context:
    """Give a context that no strategy here looks at."""
    return Context(images=10, classes=2, class_counts=(5, 5), stages=(), has_norm=False, dim=4)


def ended(number: int, candidate: Candidate) -> Trial:
    """Score a candidate by its rate alone."""
    loss = abs(candidate.parameters["rate"] - 0.01)
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=loss)
    state = "failed" if number == 2 else "complete"
    scores = () if state == "failed" else (score,)
    return Trial(number=number, candidate=candidate, regime="full", state=state, scores=scores)


def search(path: Path, trials: int, *, reopen_at: str = "") -> list[Trial]:
    """Run a search, opening the file anew before or after every write that `reopen_at` names."""
    study = Study(path, seed=3)
    for _ in range(trials):
        candidate = study.sample(PLACES, STRATEGIES, context)
        if reopen_at == "sampled":
            study = Study(path, seed=3)
            candidate = study.sample(PLACES, STRATEGIES, context)
        number = study.begin(candidate)
        if reopen_at == "begun":
            study = Study(path, seed=3)
            again = study.interrupted()
            assert again == [(number, candidate)]
        study.finish(ended(number, candidate))
        if reopen_at == "finished":
            study = Study(path, seed=3)
    return study.trials()


@pytest.mark.parametrize("instant", ["sampled", "begun", "finished"])
def test_a_search_cut_off_at_every_trial_equals_one_that_was_not(tmp_path: Path, instant: str) -> None:
    """Whatever was under way when the process ended, the same trials come out under the same numbers."""
    whole = search(tmp_path / "whole.db", 7)
    cut = search(tmp_path / "cut.db", 7, reopen_at=instant)
    assert [t.candidate for t in cut] == [t.candidate for t in whole]
    assert [t.number for t in cut] == list(range(7))


def test_another_seed_gives_another_search(tmp_path: Path) -> None:
    """The seed decides what is sampled."""
    first = Study(tmp_path / "a.db", seed=1).sample(PLACES, STRATEGIES, context)
    assert first == Study(tmp_path / "b.db", seed=1).sample(PLACES, STRATEGIES, context)
    assert first != Study(tmp_path / "c.db", seed=2).sample(PLACES, STRATEGIES, context)


def test_no_trial_stays_running_and_failed_ones_are_recorded(tmp_path: Path) -> None:
    """Every trial that ended has a finished state in the file, the failed one too."""
    search(tmp_path / "s.db", 4)
    study = Study(tmp_path / "s.db", seed=3)
    assert study.interrupted() == []
    assert [t.state for t in study.trials()] == ["complete", "complete", "failed", "complete"]


@pytest.mark.parametrize("rate", [5.0, 0.0])
def test_guesses_outside_of_the_searched_range_still_teach_the_sampler(tmp_path: Path, rate: float) -> None:
    """A known-good guess may lie outside of what is searched; the search goes on behind it."""
    study = Study(tmp_path / "s.db", seed=3)
    guess = Candidate(backbone="small", strategy="one", parameters={"rate": rate, "depth": 9}, size_px=64)
    number = study.begin(guess)
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=1.0)
    study.finish(Trial(number=number, candidate=guess, regime="full", state="complete", scores=(score,)))
    assert study.sample(PLACES, STRATEGIES, context).parameters["rate"] <= 1.0


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    """Where the database cannot grow, the error says where and how to go on; what was finished stays."""
    study = Study(tmp_path / "s.db", seed=3)
    candidate = study.sample(PLACES, STRATEGIES, context)
    study.finish(ended(study.begin(candidate), candidate))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"s\.db: cannot be written.*tl-advise resume"):
            study.begin(candidate)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(Study(tmp_path / "s.db", seed=3).trials()) == 1


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"text" * 1000])
def test_a_damaged_database_is_told_in_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Half of a file, or another one: what to do with it, no traceback."""
    path = tmp_path / "s.db"
    Study(path, seed=3)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"s\.db: is damaged \(.*delete this file"):
        Study(path, seed=3)


def test_damage_that_only_a_reader_of_the_trials_meets_is_no_full_disk(tmp_path: Path) -> None:
    """The first page is whole, so that the file opens; Optuna reports what comes later as a failure of its storage."""
    path = tmp_path / "s.db"
    Study(path, seed=3)
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(InputError, match=r"s\.db: is damaged \(.*delete this file"):
        Study(path, seed=3).trials()


def test_a_database_that_another_process_holds_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space has to be freed: whoever holds it has to end."""
    monkeypatch.setattr(storage, "LOCK_S", 0.05)
    study = Study(tmp_path / "s.db", seed=3)
    candidate = study.sample(PLACES, STRATEGIES, context)
    with closing(sqlite3.connect(tmp_path / "s.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutputError, match=r"locked\)\. End the process that holds it, then `tl-advise resume"):
            study.begin(candidate)


def test_a_study_stands_in_its_own_folder_whatever_that_is_called(tmp_path: Path) -> None:
    """Characters that mean something in a URL, or to Optuna, are part of the path: two runs never share a file."""
    folders = [tmp_path / name for name in ("what? 100% #1", "what? 100%20 #2", "{SCHEMA_VERSION} {}")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        study = Study(folder / "study.db", 0)
        for rate in range(number + 1):
            study.begin(Candidate(backbone="pocket", strategy="full", parameters={"rate": float(rate)}))
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(f / "study.db" for f in folders)
    assert [Study(folder / "study.db", 0).counted for folder in folders] == [1, 2, 3]


def test_optuna_opens_the_file_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dashboard reads it by its path; a study that was opened by a relative path stays where it was."""
    monkeypatch.chdir(tmp_path)
    study = Study(Path("study.db"), 0)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    study.storage.engine.dispose()  # so that the next write connects again
    study.begin(Candidate(backbone="pocket", strategy="full", parameters={"rate": 0.5}))
    assert not list((tmp_path / "other").iterdir())
    assert len(optuna.load_study(study_name="tl-advise", storage=f"sqlite:///{tmp_path / 'study.db'}").trials) == 1


@pytest.mark.parametrize(
    ("what", "by"), [("strategy", "strategx"), ('"name": "Float', '"name" "Float'), ("record", "recorx")]
)
def test_changed_bytes_that_sqlite_does_not_notice_are_damage(tmp_path: Path, what: str, by: str) -> None:
    """A record that is none any more, or what Optuna reads itself: one line, no traceback."""
    path = tmp_path / "s.db"
    study = Study(path, seed=3)
    candidate = study.sample(PLACES, STRATEGIES, context)
    shown: Any = ({"rate": 0.5}, {"rate": optuna.distributions.FloatDistribution(0.1, 1.0)})
    study.finish(ended(study.begin(candidate, shown), candidate))
    content = path.read_bytes()
    assert what.encode() in content
    path.write_bytes(content.replace(what.encode(), by.encode().ljust(len(what))))
    with pytest.raises(InputError, match=r"s\.db: is damaged \(.*delete this file"):
        Study(path, seed=3)
