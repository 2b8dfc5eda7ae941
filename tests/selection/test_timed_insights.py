"""The time of what a run measures at its end: the maps of where the network looks come last, and must not be forgotten."""

from __future__ import annotations

import time
from dataclasses import replace

from advisor.runtime import clock
from advisor.selection.measurements import timed_insights
from advisor.tuning import cost_model
from advisor.tuning.search_run import SearchRun

BUDGET_S = 600.0


def with_left(run: SearchRun, left_s: float) -> SearchRun:
    """Return the run as one with a budget of ten minutes of which so much is left."""
    facts = replace(run.facts, settings=replace(run.facts.settings, budget_s=BUDGET_S))
    return replace(run, facts=facts, clock=clock.Clock(BUDGET_S, used_before_s=BUDGET_S - left_s))


def test_maps_may_use_time_that_nothing_else_needs(run: SearchRun) -> None:
    """Where forecast and map of the images took the share of all, there are maps all the same, if the run has time left."""
    spent = time.monotonic() - 1.0
    plenty = with_left(run, 300.0)
    share_s = cost_model.insight_s(plenty.state())
    assert share_s > 0
    assert timed_insights.ends_for_maps(plenty, spent) - time.monotonic() > share_s - 2.0
    late = with_left(run, 1.0)
    assert timed_insights.ends_for_maps(late, spent) <= time.monotonic()
