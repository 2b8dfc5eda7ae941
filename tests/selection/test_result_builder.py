"""What a result states about its run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import results

from advisor.selection import result_builder


@pytest.mark.parametrize("used_s", [321.7541, 321.7549, 100.95, 100.05, 100.9499, 164.1951])
def test_a_run_over_its_budget_states_the_same_figures_in_its_warning(used_s: float) -> None:
    """They are rounded once: rounding a rounded number again may end at another one."""
    result = results.final()
    within = replace(result, budget=replace(result.budget, asked_s=0.1), warnings=())
    over = result_builder.with_time(within, used_s)
    (warning,) = over.warnings
    assert f"by {over.budget.over_s:.1f} s: it took {over.budget.used_s:.1f} s" in warning
    assert over.budget.over_s == pytest.approx(over.budget.used_s - 0.1, abs=0.001)
