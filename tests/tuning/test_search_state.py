"""What a run knows while it searches, written down so that a kill never leaves half of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import registry
from advisor.execution.worker import Worker
from advisor.execution.worker_pool import WorkerPool
from advisor.records import Candidate, FoldScore, Settings, Trial
from advisor.runtime.clock import Clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning import regime
from advisor.tuning.search_state import Contest
from advisor.tuning.trials.study import Study


class Killed(Exception):
    """Stands for a SIGKILL while a recipe is written."""


def probe(number: int, log_loss: float) -> Trial:
    """A scored head on frozen features."""
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=log_loss)
    candidate = Candidate(backbone="pocket", strategy="ridge", parameters={"number": number}, size_px=64)
    return Trial(number=number, candidate=candidate, regime="feature_extraction", state="complete", scores=(score,))


@pytest.fixture
def contest(tmp_path: Path) -> Contest:
    """A contest that is cut off whenever it would keep something."""
    (tmp_path / "data").mkdir()
    rundir = RunDir.create(tmp_path / "run", data=tmp_path / "data")
    settings = Settings(data="data", budget_s=None, trials=3)

    def cut_off(trial: Trial) -> None:
        raise Killed(trial.number)

    return Contest(
        settings=settings,
        rundir=rundir,
        clock=Clock(None),
        crew=WorkerPool([Worker()]),
        registry=registry.load(),
        strategies={},
        regime=regime.by_size(48, 3),
        counts=(16, 16, 16),
        test_images=12,
        study=Study(rundir.study, 0),
        listener=Listener(),
        device="cpu",
        on_better=cut_off,
        sizes={},
    )


def test_a_kill_while_the_first_probe_is_kept_loses_no_probe(contest: Contest) -> None:
    """The probes of one place are on disk together, before any of them is kept."""
    with pytest.raises(Killed):
        contest.probed([probe(-1, 0.9), probe(-2, 0.7)])
    written = contest.rundir.read("probes.json", list[Trial])
    assert [t.number for t in written or []] == [-1, -2]


def test_the_best_probe_of_a_place_is_kept_where_it_beats_those_before_it(contest: Contest) -> None:
    """Once a place, since keeping a head is fitting it anew; a place that is worse keeps nothing."""
    kept: list[int] = []
    contest.on_better = lambda trial: kept.append(trial.number)
    contest.probed([probe(-1, 0.9), probe(-2, 0.7)])
    contest.probed([probe(-3, 0.8), probe(-4, 0.6)])
    contest.probed([probe(-5, 0.65), probe(-6, 0.9)])
    assert kept == [-2, -4]


def test_a_failed_probe_is_told_but_not_a_contender(contest: Contest) -> None:
    """What failed cannot win."""
    failed = Trial(
        number=-1, candidate=probe(-1, 1.0).candidate, regime="feature_extraction", state="failed", error="x"
    )
    contest.probed([failed])
    assert contest.best() is None
    assert contest.rundir.log_path.read_text().count('"state": "failed"') == 1
