"""Cost and score of every network that was scored: records -> the table and the drawing of the report, lines of the terminal.

In: `LimitsReport`. Out: rows, SVG text in the colours of the page, sentences. Does NOT cover: which of them are efficient
(`selection.deployment`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from advisor.records.limits import CostedModel, GraphCost, LimitsReport
from advisor.reporting import wording
from advisor.reporting.charts import report_plots
from advisor.reporting.charts.report_plots import Frame
from advisor.safe_text import printable

SHOWN = 12
HEIGHT = 240


def rows(limits: LimitsReport) -> list[CostedModel]:
    """Return the models for the table, cheapest first: the shipped one, the efficient ones, then the best of the others."""
    order = sorted(limits.models, key=lambda m: (not m.shipped, not m.efficient, m.loss, m.trial))[:SHOWN]
    return [model for model in limits.models if model in order]


def milliseconds(cost: GraphCost) -> str:
    """Write milliseconds: "4.2 ms" measured, "about 4 ms" predicted."""
    if cost.ms is None:
        return wording.NONE
    return f"{cost.ms:.1f} ms" if cost.measured else f"about {wording.significant(cost.ms, 2)} ms"


def megabytes(cost: GraphCost) -> str:
    """Write megabytes: "8.9 MB" measured, "about 8.9 MB" predicted."""
    if cost.mb is None:
        return wording.NONE
    return f"{cost.mb:.1f} MB" if cost.measured else f"about {wording.significant(cost.mb, 2)} MB"


def cost(limits: LimitsReport) -> str:
    """Write what the shipped model costs, and how that is known."""
    how = (
        f"measured on {limits.threads} thread{'s' if limits.threads > 1 else ''} of this machine"
        if limits.cost.measured
        else "predicted from its size, not measured"
    )
    return f"{milliseconds(limits.cost)} per image, {megabytes(limits.cost)} as an exported file ({how})"


def asked(limits: LimitsReport) -> str:
    """Write the limits as options; "" without any."""
    pairs = (("--max-ms", limits.max_ms), ("--max-mb", limits.max_mb))
    return " ".join(f"{option} {limit:g}" for option, limit in pairs if limit is not None)


def price(limits: LimitsReport) -> str:
    """Write what the limits cost in score, where that was measured; "" otherwise."""
    other = limits.without
    if other is None:
        return ""
    return (
        f"Without the limit: {other.accuracy:.3f} on validation, {milliseconds(other.cost)}, {megabytes(other.cost)} "
        f"({printable(other.strategy)} on {printable(other.backbone)} at {other.size_px} px)."
    )


def plot(models: Sequence[CostedModel], limit_ms: float | None) -> str:
    """Draw validation accuracy over milliseconds (a logarithmic scale), the front joined; "" below two points."""
    drawn = [m for m in models if m.cost.ms and not math.isnan(m.accuracy)]
    if len(drawn) < 2:
        return ""
    logs = [math.log10(m.cost.ms or 1.0) for m in drawn]
    ys = [m.accuracy for m in drawn]
    pad = max(0.01, 0.1 * (max(ys) - min(ys)))
    frame = Frame(min(logs) - 0.1, max(logs) + 0.1, min(ys) - pad, min(1.0, max(ys) + pad), height=HEIGHT)
    body = frame.axes(wording.tick)
    body += frame.below(_ticks(frame.x0, frame.x1), lambda log: f"{wording.significant(10**log, 3)} ms")
    front = _front(drawn)
    if len(front) > 1:
        points = " ".join(f"{frame.x(math.log10(m.cost.ms or 1.0)):.1f},{frame.y(m.accuracy):.1f}" for m in front)
        body.append(f'<polyline class="best" fill="none" points="{points}"/>')
    if limit_ms is not None and frame.x0 < math.log10(limit_ms) < frame.x1:
        at = frame.x(math.log10(limit_ms))
        body.append(report_plots.line(at, frame.y(frame.y0), at, frame.y(frame.y1), "default"))
    for model, log in zip(drawn, logs, strict=True):
        kind = "complete" if model.within else "failed"
        kind += " chosen" if model.shipped else ""
        title = f"{model.backbone} at {model.size_px} px: {wording.percent(model.accuracy)}, {milliseconds(model.cost)}"
        body.append(
            f'<circle class="trial feature_extraction {kind}" cx="{frame.x(log):.1f}" cy="{frame.y(model.accuracy):.1f}" '
            f'r="{8 if model.shipped else 5}"><title>{escape(printable(title))}</title></circle>'
        )
    return report_plots.svg(report_plots.WIDTH, HEIGHT, "Validation accuracy over milliseconds per image", body)


def _front(models: Sequence[CostedModel]) -> list[CostedModel]:
    """Return, fastest first, the models that are more accurate than every faster one; megabytes are not drawn."""
    front: list[CostedModel] = []
    for model in sorted(models, key=lambda m: (m.cost.ms or 0.0, -m.accuracy)):
        if not front or model.accuracy > front[-1].accuracy:
            front.append(model)
    return front


def _ticks(low: float, high: float) -> list[float]:
    """Return logarithms of round numbers (1, 2, 5, 10, ...) inside a range of logarithms."""
    steps = [power + math.log10(m) for power in range(-3, 7) for m in (1, 2, 5)]
    return [step for step in steps if low <= step <= high]
