"""Charts that stand alone: well-formed, escaped, with every curve and mark in place."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from advisor.reporting import html_page
from advisor.reporting.charts import standalone_charts
from advisor.reporting.charts.report_plots import Line


@pytest.mark.parametrize("log_x", [False, True])
def test_a_chart_is_well_formed_and_escaped(log_x: bool) -> None:
    """The SVG parses; a name from a folder cannot break out of it; points without a value are left out."""
    nasty = "<script>&\"' ä"
    series = [Line(name=nasty, kind="a", xs=[1, 10, 100], ys=[1.0, math.nan, 0.5])]
    text = standalone_charts.lines(series, title=nasty, x_title=nasty, log_x=log_x, mark=10)
    root = ElementTree.fromstring(text)
    assert "<script>" not in text
    assert nasty in [e.text for e in root.iter() if e.text]
    assert "nan" not in text


def test_nothing_to_draw_is_nothing() -> None:
    """Without a single finite point there is no drawing."""
    assert standalone_charts.lines([Line(name="a", kind="a", xs=[1.0], ys=[math.nan])], title="t", x_title="x") == ""


def test_curves_lie_where_their_numbers_say() -> None:
    """Higher values are drawn higher, later ones further right; equal values do not divide by zero."""
    text = standalone_charts.lines([Line(name="a", kind="a", xs=[0, 1, 2], ys=[0.0, 1.0, 0.5])], title="t", x_title="x")
    path = next(e.attrib["d"] for e in ElementTree.fromstring(text).iter() if "M" in e.attrib.get("d", ""))
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, p.split(","))) for p in path[1:].split("L"))
    assert x0 < x1 < x2
    assert y1 < y2 < y0
    assert standalone_charts.lines([Line(name="a", kind="a", xs=[0, 1], ys=[1.0, 1.0])], title="t", x_title="x")


def test_characters_show_the_curve_and_the_mark() -> None:
    """In a terminal, the first point is left, the lowest at the bottom, and the mark is a column."""
    xs = [10.0**i for i in range(-5, 1)]
    rows = standalone_charts.in_characters(xs, [3.0, 2.0, 1.0, 2.0, 9.0, 99.0], mark=1e-4).splitlines()
    assert sum("|" in row for row in rows) >= 10
    assert "*" in rows[-2]
    assert rows[-1].split() == ["1e-05", "1e+00"]


def test_a_page_is_self_contained() -> None:
    """A page names no outside file and runs no script; sentences and cells are escaped."""
    text = html_page.page("<b>", [("a < b", html_page.table(["<i>"], [["x & y"]]))])
    assert "http" not in text
    assert "<script" not in text
    assert "&lt;i&gt;" in text
    assert "x &amp; y" in text
    assert "a &lt; b" in text
