"""What a search learns is written down so that a kill never leaves half of it, and outlives workers that die."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import registry
from advisor.errors import WorkerLostError
from advisor.execution.worker import Worker
from advisor.execution.worker_pool import WorkerPool
from advisor.records import Candidate, FoldScore, Settings, Trial
from advisor.records.messages import Describe, Description
from advisor.runtime.clock import Clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning import policy, regime
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchFacts
from advisor.tuning.trials.study import Study


class Killed(Exception):
    """Stands for a SIGKILL while a recipe is written."""


def probe(number: int, log_loss: float) -> Trial:
    """A scored head on frozen features."""
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=log_loss)
    candidate = Candidate(backbone="pocket", strategy="ridge", parameters={"number": number}, size_px=64)
    return Trial(number=number, candidate=candidate, regime="feature_extraction", state="complete", scores=(score,))


@pytest.fixture
def run(tmp_path: Path) -> SearchRun:
    """A search that is cut off whenever it would keep something."""
    (tmp_path / "data").mkdir()
    rundir = RunDir.create(tmp_path / "run", data=tmp_path / "data")
    workers = WorkerPool([Worker()])

    def cut_off(run: SearchRun, trial: Trial) -> None:
        raise Killed(trial.number)

    return SearchRun(
        facts=SearchFacts(
            settings=Settings(data="data", budget_s=None, trials=3),
            registry=registry.load(),
            strategies={},
            regime=regime.by_size(48, 3),
            counts=(16, 16, 16),
            test_images=12,
            device="cpu",
            sizes={},
        ),
        rundir=rundir,
        clock=Clock(None),
        workers=workers,
        executor=workers,
        study=Study(rundir.study, 0),
        listener=Listener(),
        on_better=cut_off,
    )


def test_a_kill_while_the_first_probe_is_kept_loses_no_probe(run: SearchRun) -> None:
    """The probes of one backbone and size are on disk together, before any of them is kept."""
    with pytest.raises(Killed):
        run.record_probes([probe(-1, 0.9), probe(-2, 0.7)])
    written = run.rundir.read("probes.json", list[Trial])
    assert [t.number for t in written or []] == [-1, -2]


def test_the_best_probe_of_a_backbone_is_kept_where_it_beats_those_before_it(run: SearchRun) -> None:
    """Once for each backbone and size, since keeping a head is fitting it anew; one that is worse keeps nothing."""
    recorded: list[int] = []
    run.on_better = lambda run, trial: recorded.append(trial.number)
    run.record_probes([probe(-1, 0.9), probe(-2, 0.7)])
    run.record_probes([probe(-3, 0.8), probe(-4, 0.6)])
    run.record_probes([probe(-5, 0.65), probe(-6, 0.9)])
    assert recorded == [-2, -4]


def test_a_failed_probe_is_announced_but_not_a_contender(run: SearchRun) -> None:
    """What failed cannot win."""
    failed = Trial(
        number=-1, candidate=probe(-1, 1.0).candidate, regime="feature_extraction", state="failed", error="x"
    )
    run.record_probes([failed])
    assert run.state().best() is None
    assert run.rundir.log_path.read_text().count('"state": "failed"') == 1


def dying(monkeypatch: pytest.MonkeyPatch, deaths: int) -> list[float]:
    """Let the worker process die with its first jobs, then answer; returns the pauses between the tries."""
    pauses: list[float] = []
    deaths_left = iter(range(deaths))

    def ask(worker: Worker, job: Describe, kind: type, *more: object, **named: object) -> object:
        if next(deaths_left, None) is not None:
            raise WorkerLostError("the worker process ended (killed by signal 9).")
        return None

    monkeypatch.setattr(Worker, "ask", ask)
    monkeypatch.setattr("advisor.tuning.search_run.time.sleep", pauses.append)
    return pauses


def test_a_worker_that_dies_is_started_again_with_growing_pauses(
    run: SearchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice was the end of a run once; a machine short of memory may recover, and each answer forgives what was before."""
    pauses = dying(monkeypatch, policy.MAX_WORKER_DEATHS)
    run.ask(Describe(backbone="pocket"), Description)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert run.deaths == 0


def test_workers_that_only_die_end_the_run_with_the_command_that_goes_on(
    run: SearchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, in one line, and not before five restarts."""
    dying(monkeypatch, 100)
    with pytest.raises(WorkerLostError, match=rf"6 times in a row.*tl-advise resume {run.rundir.path}") as error:
        run.ask(Describe(backbone="pocket"), Description)
    assert error.value.exit_code == 4
    with pytest.raises(WorkerLostError, match="killed by signal 9"):
        run.ask(Describe(backbone="pocket"), Description, restarts=1)
