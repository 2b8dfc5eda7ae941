"""Drawings of evidence: score against guessing, reliability of probabilities, and a map of features.

In: plain numbers. Out: HTML or SVG text in the colours of the page (`templates/report.css`), readable on a phone. Every
name is escaped here. Does NOT cover: drawings of the search and of classes (`report_plots`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from advisor.records import CalibrationBin, Forecast
from advisor.reporting import wording
from advisor.reporting.charts import report_plots
from advisor.reporting.charts.report_plots import Bar, Frame, line, svg, text
from advisor.safe_text import printable, shortened

SMALL_MATRIX = 10  # classes, up to which the confusion matrix is a table that fits a phone
MAP_COLOURS = 8  # classes with a colour of their own on the map; the others share one
MAP_POINTS = 3000  # more are thinned out: a page of a few hundred kilobytes shows them as well


@dataclass(frozen=True, kw_only=True, slots=True)
class MapPoint:
    """One image on the map: its position, true class, predicted class, and path."""

    x: float
    y: float
    label: str
    predicted: str
    path: str


def strip(rows: Sequence[Bar], *, guess: float | None) -> str:
    """Draw scores with their intervals under each other on one scale from 0 to 100 %, in HTML: it fits any width."""
    body = []
    for row in rows:
        low, high = row.interval or (row.mark, row.mark)
        marks = f'<i class="span {row.kind}" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
        marks += f'<i class="dot {row.kind}" style="left:{100 * row.mark:.2f}%"></i>'
        if guess is not None:
            marks += f'<i class="guess" style="left:{100 * guess:.2f}%"></i>'
        title = f"{row.label}: {wording.percent(row.mark)}" + (
            f", {wording.span(row.interval)}" if row.interval else ""
        )
        body.append(
            f'<div class="row"><span>{_safe(row.label)}</span><span class="track" title="{_safe(title)}">{marks}</span>'
            f"<b>{'' if row.kind == 'faint' and len(rows) > 1 else wording.percent(row.mark)}</b></div>"
        )
    return f'<div class="strip">{"".join(body)}</div>' if body else ""


def bars(rows: Sequence[Bar], *, most: float = 1.0) -> str:
    """Draw one horizontal bar per row, as long as `mark / most`, in HTML: it fits any width."""
    body = []
    for row in rows:
        share = min(1.0, row.mark / most) if most > 0 and not math.isnan(row.mark) else 0.0
        body.append(
            f'<div class="row"><span title="{_safe(row.label)}">{_safe(row.label)}</span><span class="track">'
            f'<i class="bar {row.kind}" style="width:{100 * share:.1f}%"></i></span><b>{_safe(row.note)}</b></div>'
        )
    return f'<div class="bars">{"".join(body)}</div>' if body else ""


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw a confusion matrix, as a table where its classes are few."""
    return (matrix if len(names) <= SMALL_MATRIX else report_plots.confusion)(names, counts)


def matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw a confusion matrix of few classes as an HTML table: true classes down, predicted classes across."""
    head = "".join(f'<th class="n"><span>{_safe(name)}</span></th>' for name in names)
    rows = []
    for i, (name, row) in enumerate(zip(names, counts, strict=True)):
        total = sum(row)
        cells = []
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            kind = "right" if i == j else "wrong"
            strong = " strong" if count and share > 0.55 else ""
            shade = 0.0 if not count else (0.12 if i == j else 0.25) + 0.7 * share
            title = _safe(f"{name} predicted as {names[j]}: {count} of {total}")
            cells.append(
                f'<td class="n {kind}{strong}" style="--shade:{100 * shade:.0f}%" title="{title}">{count or "·"}</td>'
            )
        rows.append(f"<tr><th>{_safe(name)}</th>{''.join(cells)}</tr>")
    corner = '<th class="corner">true \\ predicted</th>'
    return f'<table class="matrix"><tr>{corner}{head}</tr>{"".join(rows)}</table>'


def reliability(bins: Sequence[CalibrationBin]) -> str:
    """Draw the share of right answers against the stated confidence, with 95 % intervals and the diagonal."""
    if len(bins) < 2:
        return ""
    low = max(0.0, math.floor(10 * min(min(b.ci95[0], b.confidence) for b in bins)) / 10)
    frame = Frame(low, 1.0, low, 1.0, width=420, height=300)
    body = frame.axes(wording.tick)
    body += frame.below(frame.x_marks(4), wording.tick)
    body.append(line(frame.x(low), frame.y(low), frame.x(1.0), frame.y(1.0), "default"))
    for b in bins:
        x = frame.x(b.confidence)
        title = f"{b.n} images: confidence {wording.percent(b.confidence)}, right {wording.percent(b.accuracy)}"
        body.append(line(x, frame.y(b.ci95[0]), x, frame.y(b.ci95[1]), "whisker"))
        body.append(
            f'<circle class="dot main" cx="{x:.1f}" cy="{frame.y(b.accuracy):.1f}" r="5">'
            f"<title>{escape(title)}</title></circle>"
        )
    body.append(text(frame.right, frame.bottom - 8, "stated confidence →", "axis", anchor="end"))
    body.append(text(frame.left + 6, frame.top + 12, "↑ share that is right", "axis"))
    return svg(420, 300, "Share of right answers against stated confidence", body)


def learning_curve(part: Forecast) -> str:
    """Draw accuracy against training images on a logarithmic scale: measured, and expected with its interval."""
    points = [*part.measured, *part.expected]
    if len(part.measured) < 2 or not part.expected:
        return ""
    low = math.floor(10 * min(at.ci95[0] for at in points) - 0.001) / 10
    high = math.ceil(10 * max(at.ci95[1] for at in points) - 0.001) / 10
    ends = math.log2(min(at.images for at in points)), math.log2(max(at.images for at in points))
    room = 0.06 * (ends[1] - ends[0])
    frame = Frame(ends[0] - room, ends[1] + room, max(0.0, low), min(1.0, high), width=560, height=260)
    body = frame.axes(wording.tick)
    shown = [part.measured[0], part.measured[-2], *part.expected]
    body += [
        text(frame.x(math.log2(at.images)), frame.bottom + 19, wording.number(at.images), "tick", anchor="middle")
        for at in shown
    ]
    for group, kind, name in ((part.measured, "train", "measured"), (part.expected, "valid", "expected")):
        path = "L".join(f"{frame.x(math.log2(at.images)):.1f},{frame.y(at.accuracy):.1f}" for at in group)
        body.append(f'<path class="curve {kind}" d="M{path}"/>')
        for at in group:
            x = frame.x(math.log2(at.images))
            title = f"{name} with {wording.number(at.images)} images: {wording.percent(at.accuracy)}"
            body.append(line(x, frame.y(at.ci95[0]), x, frame.y(at.ci95[1]), f"whisker {kind}"))
            body.append(
                f'<circle class="dot {kind}" cx="{x:.1f}" cy="{frame.y(at.accuracy):.1f}" r="4">'
                f"<title>{escape(title)} ({wording.span(at.ci95)})</title></circle>"
            )
    return svg(560, 260, "Accuracy against the number of training images", body)


def feature_map(points: Sequence[MapPoint]) -> tuple[str, list[tuple[str, str]]]:
    """Draw images by their features in two dimensions, mistakes ringed; return the drawing and the legend's colours."""
    finite = [p for p in points if math.isfinite(p.x) and math.isfinite(p.y)]
    if len(finite) < 3:
        return "", []
    step = max(1, -(-len(finite) // MAP_POINTS))
    shown = [p for i, p in enumerate(finite) if i % step == 0 or p.label != p.predicted]
    names = sorted({p.label for p in shown}, key=lambda name: (-sum(p.label == name for p in shown), name))
    colour = {name: f"c{min(i, MAP_COLOURS)}" for i, name in enumerate(names)}
    frame = Frame(*_ends([p.x for p in shown]), *_ends([p.y for p in shown]), width=560, height=420)
    body = []
    for p in sorted(shown, key=lambda one: one.label != one.predicted):
        wrong = p.label != p.predicted
        mistake = f", predicted as {p.predicted}" if wrong else ""
        title = escape(printable(f"{p.path}: {p.label}{mistake}"))
        kind = f"point {colour[p.label]}{' wrong' if wrong else ''}"
        body.append(
            f'<circle class="{kind}" cx="{frame.x(p.x):.1f}" cy="{frame.y(p.y):.1f}" r="{5 if wrong else 3}">'
            f"<title>{title}</title></circle>"
        )
    legend = [(name, colour[name]) for name in names[:MAP_COLOURS]]
    if len(names) > MAP_COLOURS:
        legend.append((f"{len(names) - MAP_COLOURS} more classes", f"c{MAP_COLOURS}"))
    return svg(560, 420, "Images by their features; mistakes are ringed", body), legend


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.04 * (high - low) or 1.0
    return low - pad, high + pad


def _safe(name: str) -> str:
    return escape(shortened(name, 60))
