"""Drawings of the search, of training and of classes: plain numbers -> SVG text in the colours of the page, no script.

Every name that reaches a drawing is escaped here. Colours are CSS classes (`templates/report.css`), so that one drawing
serves screen, dark screen and paper. Does NOT cover: what is worth drawing (`report`), drawings of evidence
(`evidence_plots`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from advisor.reporting import wording
from advisor.safe_text import printable

WIDTH = 560


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One row of an interval strip or bar list: `mark` and `interval` are fractions, `kind` a CSS class."""

    label: str
    mark: float
    interval: tuple[float, float] | None = None
    kind: str = "main"
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One trial in the drawing over time; `kind` is its regime, `state` as in its record."""

    x: float
    y: float
    kind: str
    state: str
    title: str
    chosen: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One curve: its name, its CSS class, its points (nan where there is none)."""

    name: str
    kind: str
    xs: Sequence[float]
    ys: Sequence[float]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers inside [low, high], about `count` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def time_ticks(seconds: float, count: int = 4) -> list[float]:
    """Return instants from 0 to `seconds`, a round number of seconds, minutes or hours apart."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
    step = next((s for s in steps if seconds / s <= count), seconds / count)
    return [step * i for i in range(int(seconds / step) + 1)]


def over_time(dots: Sequence[Dot], *, default: float | None) -> str:
    """Draw the validation accuracy of every trial when it ended, the best so far, and the untuned default."""
    scored = [dot for dot in dots if not math.isnan(dot.y)]
    if not scored:
        return ""
    xs, ys = [dot.x for dot in dots], [dot.y for dot in scored]
    low, high = _room(min(ys), max(ys))
    frame = Frame(0.0, max(xs) * 1.02 or 1.0, low, high, height=300)
    body = frame.axes(wording.tick)
    body += frame.below(time_ticks(frame.x1), lambda s: wording.duration(round(s)) if s else "0")
    if default is not None and not math.isnan(default):
        body.append(line(frame.x(frame.x0), frame.y(default), frame.x(frame.x1), frame.y(default), "default"))
        body.append(text(frame.x(frame.x1) - 4, frame.y(default) + 14, "untuned default", "tick", anchor="end"))
    best, path = -1.0, ""
    for dot in sorted((d for d in scored if d.state == "complete"), key=lambda d: d.x):
        if dot.y > best:
            path += (
                f"M{frame.x(dot.x):.1f},{frame.y(dot.y):.1f}"
                if best < 0
                else f"H{frame.x(dot.x):.1f}V{frame.y(dot.y):.1f}"
            )
            best = dot.y
    if path:
        body.append(f'<path class="best" d="{path}H{frame.x(frame.x1):.1f}"/>')
    for dot in dots:
        failed = math.isnan(dot.y)
        y = frame.y(low) if failed else frame.y(dot.y)
        kind = "failed" if failed or dot.state == "failed" else f"{dot.kind} {dot.state}"
        kind += " chosen" if dot.chosen else ""
        body.append(
            f'<circle class="trial {kind}" cx="{frame.x(dot.x):.1f}" cy="{y:.1f}" r="{8 if dot.chosen else 5}">'
            f"<title>{_shown(dot.title)}</title></circle>"
        )
    return svg(WIDTH, 300, "Validation accuracy of every trial over time", body)


def curves(lines: Sequence[Line], *, width: int = 370, height: int = 210) -> str:
    """Draw curves over steps on one scale, each named at its end; the scale ends above the 95 % quantile."""
    lines = [one for one in lines if sum(not math.isnan(y) for y in one.ys) > 1]
    values = sorted(y for one in lines for y in one.ys if math.isfinite(y))
    if not values:
        return ""
    top = max(values[int(0.95 * (len(values) - 1))], max(_last(one.ys) for one in lines)) * 1.08
    low = min(0.0, values[0])
    frame = Frame(
        0.0, max(max(one.xs) for one in lines) or 1.0, low, top if top > low else low + 1, width=width, height=height
    )
    body = frame.axes(lambda v: f"{v:g}") + frame.below(ticks(0.0, frame.x1, 4), wording.number)
    for one in lines:
        points = [(x, min(y, frame.y1)) for x, y in zip(one.xs, one.ys, strict=False) if math.isfinite(y)]
        path = "L".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
        body.append(f'<path class="curve {one.kind}" d="M{path}"/>')
    return svg(width, height, ", ".join(one.name for one in lines), body)


def blends(lines: Sequence[Line]) -> str:
    """Draw accuracies against the share 0..1 of the tuned weights in the network."""
    values = [y for one in lines for y in one.ys]
    if not values:
        return ""
    frame = Frame(0.0, 1.0, *_room(min(values), max(values)), height=240)
    body = frame.axes(wording.tick) + frame.below((0.0, 0.25, 0.5, 0.75, 1.0), lambda v: f"{v:g}")
    for one in lines:
        points = [(frame.x(x), frame.y(y)) for x, y in zip(one.xs, one.ys, strict=True)]
        body.append(f'<path class="curve {one.kind}" d="M{"L".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
        for (x, y), value in zip(points, one.ys, strict=True):
            title = _shown(f"{one.name}: {wording.percent(value)}")
            body.append(
                f'<circle class="curve {one.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{title}</title></circle>'
            )
    return svg(WIDTH, 240, ", ".join(one.name for one in lines), body)


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw true classes down, predicted classes across; numbers while they can be read, shades always.

    Up to about 120 classes; beyond that no page can hold it and "" is returned.
    """
    size = len(names)
    if not 1 < size <= 120:
        return ""
    cell = max(7.0, min(60.0, 620 / size))
    font = max(6.0, min(12.0, cell * 0.82))
    letters = 18 if size <= 40 else 16
    left = 34 + font * 0.62 * min(letters, max(len(name) for name in names))
    side = cell * size
    body = [text(left + side / 2, 12, "taken for", "axis", anchor="middle")]
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        style = f"font-size:{font:.1f}px"
        short = _short(name, letters)
        body.append(text(left - 6, left + middle + font * 0.35, short, "label", anchor="end", title=name, style=style))
        x, y = left + middle + font * 0.35, left - 6
        body.append(
            f'<text class="label" x="{x:.1f}" y="{y:.1f}" style="{style}" '
            f'transform="rotate(-90 {x:.1f} {y:.1f})">{_shown(short)}<title>{_shown(name)}</title></text>'
        )
    body.append(f'<rect class="plate" x="{left:.1f}" y="{left:.1f}" width="{side:.1f}" height="{side:.1f}"/>')
    for i in range(10, size, 10) if size > 20 else ():  # every tenth line leads the eye to the names
        at = left + i * cell
        body += [line(left, at, left + side, at, "grid"), line(at, left, at, left + side, "grid")]
    for i, row in enumerate(counts):
        body += _confusion_row(names, i, row, left, cell)
    return svg(left + side + 8, left + side + 8, "Confusion matrix: true class down, predicted class across", body)


def _confusion_row(names: Sequence[str], i: int, row: Sequence[int], left: float, cell: float) -> list[str]:
    total, body = sum(row), []
    for j, count in enumerate(row):
        if not count:
            continue
        share = count / total
        kind = "right" if i == j else "wrong"
        x, y, gap = left + j * cell, left + i * cell, 1.0 if cell > 12 else 0.4
        title = f"{names[i]} taken for {names[j]}: {count} of {total}"
        side, shade = cell - 2 * gap, (0.15 if i == j else 0.3) + 0.7 * share
        body.append(
            f'<rect class="cell {kind}" x="{x + gap:.1f}" y="{y + gap:.1f}" width="{side:.1f}" height="{side:.1f}" '
            f'fill-opacity="{shade:.2f}"><title>{_shown(title)}</title></rect>'
        )
        if cell >= 20:
            dark = " on" if share > 0.55 else ""
            body.append(text(x + cell / 2, y + cell / 2 + 4, str(count), f"count{dark}", anchor="middle"))
    return body


class Frame:
    """A plotting area with its scales: data to pixels."""

    def __init__(self, x0: float, x1: float, y0: float, y1: float, *, width: int = WIDTH, height: int = 300) -> None:
        self.x0, self.x1, self.y0, self.y1 = x0, x1, y0, y1
        self.left, self.right, self.top, self.bottom = 52, width - 10, 10, height - 28

    def x(self, value: float) -> float:
        """Return the horizontal position in pixels."""
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the vertical position in pixels."""
        return self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.bottom - self.top)

    def axes(self, y_words: Callable[[float], str]) -> list[str]:
        """Draw horizontal grid lines with their values."""
        body = []
        for tick in ticks(self.y0, self.y1, 5):
            body.append(line(self.left, self.y(tick), self.right, self.y(tick), "grid"))
            body.append(text(self.left - 8, self.y(tick) + 4, y_words(tick), "tick", anchor="end"))
        return body

    def x_marks(self, count: int) -> list[float]:
        """Return round numbers inside the horizontal range."""
        return ticks(self.x0, self.x1, count)

    def below(self, marks: Sequence[float], x_words: Callable[[float], str]) -> list[str]:
        """Draw values below the horizontal axis."""
        return [text(self.x(mark), self.bottom + 19, x_words(mark), "tick", anchor="middle") for mark in marks]


def _room(low: float, high: float) -> tuple[float, float]:
    """A little room above and below, never an empty range, never outside 0..1."""
    pad = max(0.01, 0.12 * (high - low))
    return max(0.0, low - pad), min(1.0, high + pad) if high + pad <= 1.0 else 1.0


def _last(values: Sequence[float]) -> float:
    return next((v for v in reversed(values) if math.isfinite(v)), 0.0)


def _shown(name: str) -> str:
    return escape(printable(name))


def _short(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1] + "…"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Draw a line of this CSS class."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(x: float, y: float, text: str, kind: str, *, anchor: str = "start", title: str = "", style: str = "") -> str:
    """Draw text of this CSS class, escaped; `title` shows where it was shortened."""
    more = f' style="{style}"' if style else ""
    tip = f"<title>{_shown(title)}</title>" if title and title != text else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{_shown(text)}{tip}</text>'


def svg(width: float, height: float, label: str, body: Sequence[str]) -> str:
    """Return the drawing as SVG that grows to `width` pixels; `label` is for screen readers."""
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px"'
    return f'<svg role="img" aria-label="{_shown(label)}" {size}>{"".join(body)}</svg>'
