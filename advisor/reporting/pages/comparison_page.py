"""The page of a comparison: numbers of its arms -> one self-contained HTML page of curves and tables.

Does NOT cover: the numbers (`workflows.comparison`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from advisor.reporting import html_page, wording
from advisor.reporting.charts import standalone_charts
from advisor.reporting.charts.report_plots import Line

Plain = dict[str, Any]


def render(numbers: Plain) -> str:
    """Return the page of what `comparison.plain` returned."""
    arms = numbers["arms"]
    title = f"{', '.join(a['name'] for a in arms)}: {numbers['backbone']} at {numbers['size_px']} px"
    size = (
        f"{numbers['train_images']:,} training and {numbers['held_out']:,} held-out images, {numbers['classes']} classes; "
        f"{wording.in_epochs(numbers['epochs'])}, seed {numbers['seed']}, the same number of steps for every arm."
    )
    return html_page.page(
        title,
        [
            (size, _summary(arms)),
            (
                "Accuracy on training images without augmentation (solid) and on held-out images (dashed); the gap shows "
                "overfitting. A pretrained network starts with a head that was fitted on its frozen features, so its "
                "training accuracy can be high before the first step.",
                _both(arms, "accuracy", "Accuracy", percent=True),
            ),
            ("Log-loss on the same images.", _both(arms, "log_loss", "Log-loss")),
            (
                "Distance of all weights from their start: a pretrained network stays close to it.",
                _curves(arms, "Distance from the start", lambda p: p["distance"]),
            ),
            ("Distance of the weights of each stage at the end, relative to their norm at the start.", _stages(arms)),
            *_paths(arms),
        ],
    )


def _summary(arms: list[Plain]) -> str:
    columns = (
        "arm",
        "steps",
        "held-out accuracy",
        "gap (training minus held-out)",
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
    """Draw the path of each arm in its own two main directions: the axes of two arms differ."""
    sections = []
    for a in arms:
        if a["surface"]:
            losses = [[_value(v) for v in row] for row in a["surface"]["losses"]]
            title = f"Training log-loss around the path: {a['name']}"
            drawn = standalone_charts.heat(a["surface"]["xs"], a["surface"]["ys"], losses, a["path"], title=title)
            sections.append((_path_words(a), drawn))
            continue
        line = Line(name=a["name"], kind=a["name"], xs=[x for x, _ in a["path"]], ys=[y for _, y in a["path"]])
        drawn = standalone_charts.lines(
            [line], title=f"Path of the weights: {a['name']}", x_title="first main direction"
        )
        sections.append((_path_words(a), drawn))
    return sections


def _path_words(arm: Plain) -> str:
    share = f"{100 * arm['path_explained']:.0f} %"
    return f"{arm['name']}: the path of the weights in its two main directions, which explain {share} of the movement."


def _value(number: float | None) -> float:
    return math.nan if number is None else number


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"
