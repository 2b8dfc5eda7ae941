"""The panel of a comparison: numbers of arms -> one self-contained HTML page of curves and tables.

Does NOT cover: the numbers (`comparison`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from advisor.reporting import html_page, standalone_charts
from advisor.reporting.report_plots import Line

Plain = dict[str, Any]


def render(told: Plain) -> str:
    """Write the page of `comparison.plain`'s answer."""
    arms = told["arms"]
    title = f"{', '.join(a['name'] for a in arms)}: {told['backbone']} at {told['size_px']} px"
    size = f"{told['train_images']:,} training and {told['held_out']:,} held-out images, {told['classes']} classes"
    return html_page.page(
        title,
        [
            (f"{size}; {told['epochs']:.3g} epochs, seed {told['seed']}, equal steps.", _summary(arms)),
            (
                "Accuracy on training images as they are (solid) and on held-out images (dashed): the space between is "
                "what was learned by heart.",
                _both(arms, "accuracy", "Accuracy", percent=True),
            ),
            ("Log-loss on the same images.", _both(arms, "log_loss", "Log-loss")),
            (
                "How far all weights have moved from where they began: a pretrained network stays near its start.",
                _curves(arms, "Distance from the start", lambda p: p["distance"]),
            ),
            ("How far each stage has moved at the end, as a share of its length at the start.", _stages(arms)),
            *_paths(arms),
        ],
    )


def _summary(arms: list[Plain]) -> str:
    columns = (
        "arm",
        "steps",
        "held-out accuracy",
        "training minus held-out",
        "sharpness",
        "CKA to start",
        "neighbours kept",
    )
    rows = [
        (
            a["name"],
            f"{a['steps']:,}",
            f"{100 * a['accuracy']:.1f} %",
            f"{100 * a['gap']:.1f} points",
            _number(a["sharpness"]),
            _number(a["cka"]),
            _number(a["neighbours"]),
        )
        for a in arms
    ]
    return html_page.table(columns, rows)


def _both(arms: list[Plain], what: str, title: str, *, percent: bool = False) -> str:
    series = []
    for a in arms:
        xs = [p["step"] for p in a["points"]]
        for name, key in (("(training)", f"train_{what}"), ("(validation)", what)):
            ys = [_value(p[key]) for p in a["points"]]
            series.append(Line(name=f"{a['name']} {name}", kind=a["name"], xs=xs, ys=ys))
    return standalone_charts.lines(series, title=title, x_title="steps", percent=percent)


def _curves(arms: list[Plain], title: str, of: Callable[[Plain], Any]) -> str:
    series = [
        Line(
            name=a["name"], kind=a["name"], xs=[p["step"] for p in a["points"]], ys=[_value(of(p)) for p in a["points"]]
        )
        for a in arms
    ]
    return standalone_charts.lines(series, title=title, x_title="steps")


def _stages(arms: list[Plain]) -> str:
    names = list(arms[0]["points"][-1]["stages"])
    rows = [(n, *(_number(a["points"][-1]["stages"].get(n)) for a in arms)) for n in names]
    return html_page.table(("stage", *(a["name"] for a in arms)), rows)


def _paths(arms: list[Plain]) -> list[tuple[str, str]]:
    """Draw each arm's path in its own two main directions: the axes of two arms are not the same."""
    found = []
    for a in arms:
        if a["surface"]:
            losses = [[_value(v) for v in row] for row in a["surface"]["losses"]]
            title = f"Training log-loss around the path: {a['name']}"
            drawn = standalone_charts.heat(a["surface"]["xs"], a["surface"]["ys"], losses, a["path"], title=title)
            found.append((_path_words(a), drawn))
            continue
        line = Line(name=a["name"], kind=a["name"], xs=[x for x, _ in a["path"]], ys=[y for _, y in a["path"]])
        drawn = standalone_charts.lines(
            [line], title=f"Path of the weights: {a['name']}", x_title="first main direction"
        )
        found.append((_path_words(a), drawn))
    return found


def _path_words(arm: Plain) -> str:
    share = f"{100 * arm['path_explained']:.0f} %"
    return f"{arm['name']}: the path in its two main directions, which hold {share} of its movement."


def _value(number: float | None) -> float:
    return math.nan if number is None else number


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"
