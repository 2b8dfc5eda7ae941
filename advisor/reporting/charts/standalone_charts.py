"""Line charts that stand alone: numbers -> SVG text with its own colours, or plain characters for a terminal.

Used by commands whose result is curves and no report. Every name that reaches a chart is made printable and escaped here.
Does NOT cover: drawings of the report (`report_plots`), what is worth drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from advisor.reporting import wording
from advisor.reporting.charts.report_plots import Line, ticks
from advisor.safe_text import printable

COLOURS = ("#0f9488", "#d97706", "#7c5cd6", "#2563eb", "#c2410c", "#64748b")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#64748b}.t{font-weight:600}.g{stroke:#94a3b8;stroke-opacity:.3}"
    ".m{stroke:#64748b;stroke-dasharray:4 4}path{fill:none;stroke-width:2}"
)


def lines(
    series: Sequence[Line],
    *,
    title: str,
    x_title: str,
    log_x: bool = False,
    mark: float | None = None,
    percent: bool = False,
    width: int = 560,
    height: int = 280,
) -> str:
    """Draw curves on one scale under a legend, which adds to `height`; `mark` is a vertical line.

    Colours follow the order of distinct `kind`s.
    A curve whose name ends in " (validation)" is dashed. Returns "" where there is nothing to draw.
    """
    points = [
        (x, y) for s in series for x, y in zip(s.xs, s.ys, strict=True) if math.isfinite(y) and (x > 0 or not log_x)
    ]
    if not points:
        return ""
    height += 16 * len(series)
    kinds = list(dict.fromkeys(s.kind for s in series))
    scale = _Scale(points, log_x, width, height, 26 + 16 * len(series))
    body = [f'<text class="t" x="8" y="16">{_shown(title)}</text>', *scale.grid(percent)]
    if mark is not None:
        x = scale.x(mark)
        body.append(f'<line class="m" x1="{x:.1f}" y1="{scale.top}" x2="{x:.1f}" y2="{scale.bottom}"/>')
    for i, line in enumerate(series):
        colour = COLOURS[kinds.index(line.kind) % len(COLOURS)]
        dash = ' stroke-dasharray="5 3"' if line.name.endswith("(validation)") else ""
        path = "L".join(
            f"{scale.x(x):.1f},{scale.y(y):.1f}"
            for x, y in zip(line.xs, line.ys, strict=True)
            if math.isfinite(y) and (x > 0 or not log_x)
        )
        if path:
            body.append(f'<path stroke="{colour}"{dash} d="M{path}"/>')
        y = 32 + 16 * i
        body.append(f'<path stroke="{colour}"{dash} d="M8,{y - 4}L32,{y - 4}"/>')
        body.append(f'<text x="38" y="{y}">{_shown(line.name)}</text>')
    body.append(
        f'<text x="{(scale.left + scale.right) / 2:.0f}" y="{height - 4}" text-anchor="middle">{_shown(x_title)}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_shown(title)}" '
        f'viewBox="0 0 {width} {height}" style="max-width:{width}px"><style>{_STYLE}</style>{"".join(body)}</svg>'
    )


def heat(
    xs: Sequence[float],
    ys: Sequence[float],
    values: Sequence[Sequence[float]],
    path: Sequence[tuple[float, float]],
    *,
    title: str,
    width: int = 560,
    height: int = 360,
) -> str:
    """Draw values on a grid as shades, dark where high, on a logarithmic scale, and a path over them with its start marked.

    Values that are not finite are darkest. Each cell tells its value.
    """
    logs = [math.log(v + 1e-6) for row in values for v in row if math.isfinite(v)]
    if not logs:
        return ""
    low, high = min(logs), max(logs)
    scale = _Scale([(xs[0], ys[0]), (xs[-1], ys[-1])], False, width, height, 28)
    wide, tall = (scale.right - scale.left) / len(xs), (scale.bottom - scale.top) / len(ys)
    body = [f'<text class="t" x="8" y="16">{_shown(title)}</text>']
    for j, row in enumerate(values):
        for i, value in enumerate(row):
            share = (math.log(value + 1e-6) - low) / max(high - low, 1e-9) if math.isfinite(value) else 1.0
            body.append(
                f'<rect x="{scale.left + i * wide:.1f}" y="{scale.bottom - (j + 1) * tall:.1f}" width="{wide + 0.5:.1f}" '
                f'height="{tall + 0.5:.1f}" fill="#4338ca" fill-opacity="{0.05 + 0.85 * share:.2f}">'
                f"<title>{value:.3g}</title></rect>"
            )

    # Cells are centred on their points, so the outer half cells lie beyond the first and last coordinate.
    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[-1] - xs[0]) * (len(xs) - 1) + 0.5
        up = (y - ys[0]) / (ys[-1] - ys[0]) * (len(ys) - 1) + 0.5
        return scale.left + across * wide, scale.bottom - up * tall

    walked = [place(x, y) for x, y in path]
    body.append(f'<path stroke="{COLOURS[1]}" d="M{"L".join(f"{x:.1f},{y:.1f}" for x, y in walked)}"/>')
    body.append(f'<circle cx="{walked[0][0]:.1f}" cy="{walked[0][1]:.1f}" r="5" fill="{COLOURS[1]}"/>')
    body.append(
        f'<text x="8" y="{height - 8}">light: {math.exp(low):.2g}, dark: {math.exp(high):.2g}; the dot marks the start</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_shown(title)}" '
        f'viewBox="0 0 {width} {height}" style="max-width:{width}px"><style>{_STYLE}</style>{"".join(body)}</svg>'
    )


def _shown(name: str) -> str:
    return escape(printable(name))


class _Scale:
    """Data to pixels."""

    def __init__(self, points: Sequence[tuple[float, float]], log_x: bool, width: int, height: int, top: int) -> None:
        self.log_x = log_x
        self.left, self.right, self.top, self.bottom = 52, width - 12, top, height - 38
        xs = [math.log10(x) if log_x else x for x, _ in points]
        ys = [y for _, y in points]
        self.x0, self.x1 = min(xs), max(max(xs), min(xs) + 1e-9)
        self.y0, self.y1 = min(ys), max(max(ys), min(ys) + 1e-9)

    def x(self, value: float) -> float:
        value = math.log10(value) if self.log_x else value
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y0) / (self.y1 - self.y0) * (self.bottom - self.top)

    def grid(self, percent: bool) -> list[str]:
        body = []
        for tick in ticks(self.y0, self.y1, 5):
            y = self.y(tick)
            label = wording.tick(tick) if percent else f"{tick:g}"
            body.append(f'<line class="g" x1="{self.left}" y1="{y:.1f}" x2="{self.right}" y2="{y:.1f}"/>')
            body.append(f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        for tick in self._below():
            label = f"{tick:.0e}".replace("e-0", "e-") if self.log_x else f"{tick:g}"
            body.append(f'<text x="{self.x(tick):.1f}" y="{self.bottom + 16}" text-anchor="middle">{label}</text>')
        return body

    def _below(self) -> list[float]:
        if not self.log_x:
            return ticks(self.x0, self.x1, 5)
        whole = [10.0**i for i in range(math.ceil(self.x0 - 1e-9), math.floor(self.x1 + 1e-9) + 1)]
        return whole or [10**self.x0]


def in_characters(
    xs: Sequence[float], ys: Sequence[float], *, mark: float | None, width: int = 64, height: int = 12
) -> str:
    """Draw one curve over a logarithmic axis in plain characters; `mark` gets a column of its own.

    Values above the first by more than its distance to the lowest are cut off, so that the useful part fills the rows.
    """
    low = min(ys)
    fall = ys[0] - low
    high = max(min(max(ys), ys[0] + max(fall, 0.25 * (max(ys) - low))), low + 1e-9)
    grid = [[" "] * width for _ in range(height)]

    def column(x: float) -> int:
        return round((math.log(x) - math.log(xs[0])) / (math.log(xs[-1]) - math.log(xs[0])) * (width - 1))

    if mark is not None and xs[0] <= mark <= xs[-1]:
        for row in grid:
            row[column(mark)] = "|"
    for x, y in zip(xs, ys, strict=True):
        below = (high - min(y, high)) / (high - low)
        grid[int(0.5 + below * (height - 1))][column(x)] = "*"
    labels = [f"{high:8.3f} "] + [" " * 9] * (height - 2) + [f"{low:8.3f} "]
    body = [label + "".join(row).rstrip() for label, row in zip(labels, grid, strict=True)]
    ends = f"{xs[0]:.0e}", f"{xs[-1]:.0e}"
    return "\n".join([*body, " " * 9 + ends[0] + ends[1].rjust(width - len(ends[0]))])
