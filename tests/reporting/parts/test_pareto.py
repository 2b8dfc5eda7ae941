"""Score and cost in words, rows and a drawing."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from advisor.records.limits import CostedModel, GraphCost, LimitsReport
from advisor.reporting.parts import pareto


def model(trial: int, accuracy: float, ms: float | None, **fields: object) -> CostedModel:
    """Describe a model on a network with a name that must be escaped."""
    return CostedModel(
        trial=trial, backbone="<net>", size_px=64, strategy="ridge", accuracy=accuracy, loss=1 - accuracy,
        cost=GraphCost(ms=ms, mb=2.0), **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def test_predicted_values_are_marked() -> None:
    """ "About" stands before what was not measured; what is unknown is a dash."""
    assert pareto.milliseconds(GraphCost(ms=4.24, mb=1.0, measured=True)) == "4.2 ms"
    assert pareto.milliseconds(GraphCost(ms=4.24, mb=1.0)) == "about 4.2 ms"
    assert pareto.megabytes(GraphCost(ms=None, mb=8.94, measured=True)) == "8.9 MB"
    assert pareto.milliseconds(GraphCost(ms=149.3, mb=350.1)) == "about 150 ms"
    assert pareto.megabytes(GraphCost(ms=149.3, mb=352.0)) == "about 350 MB"
    assert "ms" not in pareto.milliseconds(GraphCost(ms=None, mb=1.0))


def test_what_the_limit_cost_is_a_sentence_where_it_was_measured() -> None:
    """The better model that broke a limit, with its score and cost; nothing where none was scored."""
    cost = GraphCost(ms=9.0, mb=2.0, measured=True)
    plain = LimitsReport(max_ms=10.0, max_mb=None, threads=1, cost=cost)
    assert pareto.price(plain) == ""
    assert pareto.asked(plain) == "--max-ms 10"
    broken = LimitsReport(max_ms=10.0, max_mb=None, threads=1, cost=cost, without=model(3, 0.931, 48.0, within=False))
    assert pareto.price(broken).startswith("Without the limit: 0.931 on validation, about 48 ms, about 2 MB")


def test_the_table_keeps_the_shipped_and_the_efficient() -> None:
    """At most twelve rows, cheapest first, the recommended one and those on the front always among them."""
    many = [model(n, 0.5 + n / 100, float(n + 1)) for n in range(20)]
    worst = model(20, 0.1, 50.0, shipped=True)
    front = model(21, 0.2, 60.0, efficient=True)
    report = LimitsReport(max_ms=None, max_mb=None, threads=1, cost=worst.cost, models=(*many, worst, front))
    rows = pareto.rows(report)
    assert len(rows) == pareto.SHOWN
    assert {worst, front} <= set(rows)
    assert rows == [m for m in report.models if m in rows]


def test_the_drawing_is_valid_and_escaped() -> None:
    """SVG with one circle per model, names escaped; nothing below two points."""
    models = [
        model(0, 0.8, 2.0, efficient=True),
        model(1, 0.9, 20.0, efficient=True, shipped=True),
        model(2, 0.7, None),
    ]
    drawing = pareto.plot(models, 10.0)
    root = ElementTree.fromstring(drawing)
    assert len([e for e in root.iter() if e.tag.endswith("circle")]) == 2
    assert "<net>" not in drawing
    assert pareto.plot(models[:1], None) == ""
