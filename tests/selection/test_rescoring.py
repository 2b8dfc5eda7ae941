"""The leaders are scored on new folds where the time allows, and left as they are where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from searches import TRAINED

from advisor.data.splits import FOLDS
from advisor.records import Trial
from advisor.records.messages import RunTrial
from advisor.runtime import clock
from advisor.selection import rescoring
from advisor.tuning import cost_model
from advisor.tuning.search_run import SearchRun

BUDGET_S = 600.0


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
