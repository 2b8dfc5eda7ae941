"""The report's drawings: plain numbers -> SVG text that takes the page's colours, light or dark, without a script.

Every name that reaches a drawing is escaped here. Colours are CSS classes (`templates/report.css`), so that one drawing
serves screen, dark screen and paper. What it does not cover: what is worth drawing (`advisor/report.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from advisor.reporting import wording

WIDTH = 760


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


def time_ticks(seconds: float, count: int = 6) -> list[float]:
    """Return instants from 0 to `seconds`, a round number of seconds, minutes or hours apart."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
    step = next((s for s in steps if seconds / s <= count), seconds / count)
    return [step * i for i in range(int(seconds / step) + 1)]


def intervals(rows: Sequence[Bar]) -> str:
    """Draw scores with their 95 % intervals under each other on one scale, so that overlap is seen."""
    ends = [end for row in rows for end in (row.interval or (row.mark, row.mark))]
    if not ends:
        return ""
    low = max(0.0, math.floor((min(ends) - 0.02) * 20) / 20)
    high = min(1.0, math.ceil((max(ends) + 0.005) * 20) / 20)
    left, step, height = 210, 38, 38 * len(rows) + 30

    def at(share: float) -> float:
        return left + (share - low) / (high - low) * (WIDTH - left - 100)

    body = []
    marks = ticks(low, high, 6)
    digits = 0 if all(abs(100 * tick - round(100 * tick)) < 1e-6 for tick in marks) else 1
    for tick in marks:
        body.append(_line(at(tick), 4, at(tick), height - 24, "grid"))
        body.append(_text(at(tick), height - 8, wording.percent(tick, digits), "tick", anchor="middle"))
    for index, row in enumerate(rows):
        y = 20 + index * step
        body.append(_text(left - 16, y + 4, row.label, "label", anchor="end"))
        if row.interval:
            body.append(
                f'<line class="span {row.kind}" x1="{at(row.interval[0]):.1f}" y1="{y}" '
                f'x2="{at(row.interval[1]):.1f}" y2="{y}"/>'
            )
        body.append(f'<circle class="dot {row.kind}" cx="{at(row.mark):.1f}" cy="{y}" r="6"/>')
        body.append(_text(WIDTH - 84, y + 4, wording.percent(row.mark), "figure"))
    return _svg(WIDTH, height, "Scores with their 95 % intervals", body)


def bars(rows: Sequence[Bar], *, most: float = 1.0) -> str:
    """Draw one horizontal bar a row, as long as `mark / most`."""
    left = 30 + 7 * max((min(24, len(row.label)) for row in rows), default=0)
    height = 24 * len(rows) + 4
    body = []
    for index, row in enumerate(rows):
        y, full = 2 + 24 * index, WIDTH - left - 150
        body.append(_text(left - 12, y + 15, _short(row.label, 24), "label", anchor="end", title=row.label))
        body.append(f'<rect class="trough" x="{left}" y="{y + 3}" width="{full}" height="15" rx="4"/>')
        share = min(1.0, row.mark / most) if most > 0 and not math.isnan(row.mark) else 0.0
        body.append(
            f'<rect class="bar {row.kind}" x="{left}" y="{y + 3}" width="{full * share:.1f}" height="15" rx="4"/>'
        )
        body.append(_text(left + full + 12, y + 15, row.note, "figure"))
    return _svg(WIDTH, height, "One bar a class", body)


def over_time(dots: Sequence[Dot], *, default: float | None) -> str:
    """Draw the validation accuracy of every trial when it ended, the best so far, and the untuned default."""
    scored = [dot for dot in dots if not math.isnan(dot.y)]
    if not scored:
        return ""
    xs, ys = [dot.x for dot in dots], [dot.y for dot in scored]
    low, high = _room(min(ys), max(ys))
    frame = _Frame(0.0, max(xs) * 1.02 or 1.0, low, high, height=300)
    body = frame.axes(lambda share: wording.percent(share, 0 if high - low > 0.05 else 1))
    body += frame.below(time_ticks(frame.x1), lambda s: wording.duration(round(s)) if s else "0")
    if default is not None and not math.isnan(default):
        body.append(_line(frame.x(frame.x0), frame.y(default), frame.x(frame.x1), frame.y(default), "default"))
        body.append(_text(frame.x(frame.x1) - 4, frame.y(default) + 14, "untuned default", "tick", anchor="end"))
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
        body.append(
            f'<circle class="trial {kind}" cx="{frame.x(dot.x):.1f}" cy="{y:.1f}" r="5">'
            f"<title>{escape(dot.title)}</title></circle>"
        )
    return _svg(WIDTH, 300, "Validation accuracy of every trial over time", body)


def curves(lines: Sequence[Line], *, width: int = 370, height: int = 210) -> str:
    """Draw curves over steps on one scale, each named at its end; the scale ends above the 95 % quantile."""
    lines = [line for line in lines if sum(not math.isnan(y) for y in line.ys) > 1]
    values = sorted(y for line in lines for y in line.ys if math.isfinite(y))
    if not values:
        return ""
    top = max(values[int(0.95 * (len(values) - 1))], max(_last(line.ys) for line in lines)) * 1.08
    low = min(0.0, values[0])
    frame = _Frame(
        0.0, max(max(line.xs) for line in lines) or 1.0, low, top if top > low else low + 1, width=width, height=height
    )
    body = frame.axes(lambda v: f"{v:.2g}") + frame.below(ticks(0.0, frame.x1, 4), wording.number)
    for line in lines:
        points = [(x, min(y, frame.y1)) for x, y in zip(line.xs, line.ys, strict=False) if math.isfinite(y)]
        path = "L".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
        body.append(f'<path class="curve {line.kind}" d="M{path}"/>')
    return _svg(width, height, ", ".join(line.name for line in lines), body)


def blends(lines: Sequence[Line]) -> str:
    """Draw accuracies against the share 0..1 of the tuned weights in the network."""
    values = [y for line in lines for y in line.ys]
    if not values:
        return ""
    frame = _Frame(0.0, 1.0, *_room(min(values), max(values)), height=240)
    body = frame.axes(lambda v: wording.percent(v, 0)) + frame.below((0.0, 0.25, 0.5, 0.75, 1.0), lambda v: f"{v:g}")
    for line in lines:
        points = [(frame.x(x), frame.y(y)) for x, y in zip(line.xs, line.ys, strict=True)]
        body.append(f'<path class="curve {line.kind}" d="M{"L".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
        for (x, y), value in zip(points, line.ys, strict=True):
            title = escape(f"{line.name}: {wording.percent(value)}")
            body.append(
                f'<circle class="curve {line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{title}</title></circle>'
            )
    return _svg(WIDTH, 240, ", ".join(line.name for line in lines), body)


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
    body = [_text(left + side / 2, 12, "taken for", "axis", anchor="middle")]
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        style = f"font-size:{font:.1f}px"
        short = _short(name, letters)
        body.append(_text(left - 6, left + middle + font * 0.35, short, "label", anchor="end", title=name, style=style))
        x, y = left + middle + font * 0.35, left - 6
        body.append(
            f'<text class="label" x="{x:.1f}" y="{y:.1f}" style="{style}" '
            f'transform="rotate(-90 {x:.1f} {y:.1f})">{escape(short)}<title>{escape(name)}</title></text>'
        )
    body.append(f'<rect class="plate" x="{left:.1f}" y="{left:.1f}" width="{side:.1f}" height="{side:.1f}"/>')
    for i in range(10, size, 10) if size > 20 else ():  # every tenth line leads the eye to the names
        at = left + i * cell
        body += [_line(left, at, left + side, at, "grid"), _line(at, left, at, left + side, "grid")]
    for i, row in enumerate(counts):
        body += _confusion_row(names, i, row, left, cell)
    return _svg(left + side + 8, left + side + 8, "Confusion matrix: true class down, predicted class across", body)


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
            f'fill-opacity="{shade:.2f}"><title>{escape(title)}</title></rect>'
        )
        if cell >= 20:
            dark = " on" if share > 0.55 else ""
            body.append(_text(x + cell / 2, y + cell / 2 + 4, str(count), f"count{dark}", anchor="middle"))
    return body


class _Frame:
    """A plotting area with its scales."""

    def __init__(self, x0: float, x1: float, y0: float, y1: float, *, width: int = WIDTH, height: int = 300) -> None:
        self.x0, self.x1, self.y0, self.y1 = x0, x1, y0, y1
        self.left, self.right, self.top, self.bottom = 52, width - 10, 10, height - 28

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.bottom - self.top)

    def axes(self, y_words: Callable[[float], str]) -> list[str]:
        body = []
        for tick in ticks(self.y0, self.y1, 5):
            body.append(_line(self.left, self.y(tick), self.right, self.y(tick), "grid"))
            body.append(_text(self.left - 8, self.y(tick) + 4, y_words(tick), "tick", anchor="end"))
        return body

    def below(self, marks: Sequence[float], x_words: Callable[[float], str]) -> list[str]:
        return [_text(self.x(mark), self.bottom + 19, x_words(mark), "tick", anchor="middle") for mark in marks]


def _room(low: float, high: float) -> tuple[float, float]:
    """A little room above and below, never an empty range, never outside 0..1."""
    pad = max(0.01, 0.12 * (high - low))
    return max(0.0, low - pad), min(1.0, high + pad) if high + pad <= 1.0 else 1.0


def _last(values: Sequence[float]) -> float:
    return next((v for v in reversed(values) if math.isfinite(v)), 0.0)


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "start", title: str = "", style: str = "") -> str:
    more = f' style="{style}"' if style else ""
    tip = f"<title>{escape(title)}</title>" if title and title != text else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}{tip}</text>'


def _svg(width: float, height: float, label: str, body: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px"'
    return f'<svg role="img" aria-label="{escape(label)}" {size}>{"".join(body)}</svg>'
