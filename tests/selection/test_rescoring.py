"""The leaders are scored on new folds where the time allows, and left as they are where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import searches

from advisor.data.splits import FOLDS
from advisor.records import Candidate, Trial
from advisor.records.messages import RunTrial
from advisor.runtime import clock
from advisor.selection import rescoring
from advisor.tuning import cost_model
from advisor.tuning.search_run import SearchRun

TRAINED = Candidate(backbone="pocket", strategy="partial", parameters={"epochs": 1.0}, size_px=64)
BUDGET_S = 600.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRun]:
    """A search on real crops with one worker."""
    with searches.on_crops(tmp_path_factory.mktemp("rescoring")) as run:
        run.describe(["pocket"])
        yield run


@pytest.fixture(scope="module")
def trained(run: SearchRun) -> Trial:
    """A trained trial that was scored on one fold."""
    trial = run.worker.ask(RunTrial(number=0, candidate=TRAINED, folds=(1,), repeat=0, seed=0, started_s=0.0), Trial)
    assert trial.state == "complete", trial.error
    return trial


@pytest.mark.parametrize("short_of", [0.5, 1.5, 2.5, 4.5, 50.0])
def test_no_order_is_given_where_less_than_a_fold_fits(
    run: SearchRun, trained: Trial, short_of: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time that is over is no number of folds: an order without time costs the start of a new worker."""
    orders: list[RunTrial] = []
    monkeypatch.setattr(run.workers, "submit", orders.append)
    settings = replace(run.facts.settings, budget_s=BUDGET_S, trials=None)
    limited = replace(run, facts=replace(run.facts, settings=settings))
    fold_s = cost_model.train_s(limited.state(), TRAINED, run.facts.images - run.facts.images // FOLDS)
    left_s = cost_model.reserve_s(limited.state(), TRAINED) - short_of * fold_s
    late = replace(limited, clock=clock.Clock(BUDGET_S, used_before_s=BUDGET_S - left_s))
    longer = replace(TRAINED, parameters={"epochs": 1.5})
    assert rescoring.rescore(late, [trained, replace(trained, number=1, candidate=longer)]) == {}
    assert orders == []
