"""Draw accuracy against seconds used, one panel for each set: docs/images/arena.svg. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import rivals

from advisor.metrics import intervals

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "arena", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}

PLOT = Path(__file__).parents[2] / "docs" / "images" / "arena.svg"
TICKS_S = (10, 15, 30, 60, 120, 240, 400)
OURS = rivals.RIVALS[0].name
Row = dict[str, Any]


def draw(rows: list[Row]) -> None:
    """Write the plot; both seeds of a cell are points of their own."""
    from matplotlib import pyplot

    ended = [r for r in rows if "failed" not in r]
    names = list(dict.fromkeys(r["set"] for r in ended))
    lines = -(-len(names) // 2)
    figure, panels = pyplot.subplots(lines, 2, figsize=(9, 2.4 * lines), squeeze=False)
    for panel, name in zip(panels.flat, names, strict=False):
        for number, rival in enumerate(rivals.RIVALS):
            own = [r for r in ended if (r["set"], r["rival"]) == (name, rival.name)]
            if own:
                _points(panel, sorted(own, key=lambda r: float(r["used_s"])), rival.name, f"C{number}")
        panel.set(title=name, xscale="log", xlabel="seconds used, one core", ylabel="test accuracy", xlim=(6, 600))
        panel.set_xticks(TICKS_S, [str(seconds) for seconds in TICKS_S])
        panel.minorticks_off()
    for panel in list(panels.flat)[len(names) :]:
        panel.axis("off")
    handles = {label: h for p in panels.flat for h, label in zip(*p.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.savefig(PLOT, metadata={"Date": None}, facecolor="white")


def _points(panel: Any, own: list[Row], rival: str, color: str) -> None:
    bounds = [intervals.wilson(round(r["accuracy"] * r["n"]), r["n"]) for r in own]
    scores = [r["accuracy"] for r in own]
    error = [[s - low for s, (low, _) in zip(scores, bounds, strict=True)]]
    error.append([high - s for s, (_, high) in zip(scores, bounds, strict=True)])
    ours = rival == OURS
    style = {"fmt": "o-" if ours else "s--", "lw": 2 if ours else 1, "ms": 5, "elinewidth": 0.8, "color": color}
    panel.errorbar([r["used_s"] for r in own], scores, error, label=rival, **style)
