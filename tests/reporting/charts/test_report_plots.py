"""Charts of the search: ticks, curves with gaps, and no drawing where there is nothing to draw."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.reporting.charts import report_plots


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.83, 0.951), (0.0, 3e-7), (-4.0, 12345.0), (0.5, 0.5)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    """Ticks lie inside the range, equally far apart, and there are few of them."""
    ticks = report_plots.ticks(low, high)
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 * max(1.0, high) for tick in ticks)
    assert np.allclose(np.diff(ticks), np.diff(ticks)[:1])


def test_curves_with_gaps_are_drawn_as_far_as_they_go() -> None:
    """A value that is not a number leaves a gap; a curve of one point is not drawn."""
    nan = float("nan")
    drawn = report_plots.curves([report_plots.Line(name="loss", kind="train", xs=(1, 2, 3), ys=(1.0, nan, 0.5))])
    assert drawn.count("L") == 1
    assert "nan" not in drawn
    assert report_plots.curves([report_plots.Line(name="loss", kind="train", xs=(1, 2), ys=(1.0, nan))]) == ""


def test_trials_that_all_failed_draw_nothing() -> None:
    """A search without one score has no drawing over time."""
    dot = report_plots.Dot(x=1.0, y=float("nan"), kind="full", state="failed", title="")
    assert report_plots.over_time([dot], default=None) == ""
