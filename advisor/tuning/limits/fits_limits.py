"""`--max-ms` and `--max-mb`: which networks and input sizes the search may visit, decided before anything is trained.

In: the settings, networks with the input sizes that the data suggest, a worker that can measure. Out: the sizes that fit,
with a smaller one where the largest suggested does not, and the table of costs, written down so that a resume decides the
same. Does NOT cover: predictions (`graph_costs`), what the limit cost (`selection.deployment`).
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from advisor.errors import AdviseError, InputError
from advisor.execution.worker import Worker
from advisor.hooks import Backbone
from advisor.records import Dataset, Settings
from advisor.records.limits import GraphCost
from advisor.records.messages import GraphMeasured, MeasureGraph
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning.candidates import SMALLEST_PX, STEP_PX, BackboneAtSize
from advisor.tuning.limits.graph_costs import CARD_SPREAD, CostTable

FILE = "graph-costs.json"
MEASURING_SHARE = 0.1  # of the budget; beyond, predictions decide, and the winner is measured all the same
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
Measure = Callable[[Backbone, int], GraphCost]
Sizes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class MeasuredGraph:
    """A line of the file: the measured cost of a network at an input size."""

    backbone: str
    size_px: int
    cost: GraphCost


def can_measure() -> bool:
    """Return True if the packages that measure an exported graph are installed."""
    return all(importlib.util.find_spec(name) is not None for name in PACKAGES)


def check(settings: Settings) -> None:
    """Raise InputError for a limit that is no number above 0, or that cannot be measured here, before any work."""
    for option, value in (("--max-ms", settings.max_ms), ("--max-mb", settings.max_mb)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{option} {value:g}: expected a number above 0.")
        if value is not None and not can_measure():
            raise InputError(f"{option} is measured on the exported graph.", hint="pip install 'tl-advise[onnx]'")


def may_fit(backbone: Backbone, settings: Settings) -> bool:
    """Return False if a network breaks a limit by far even at the smallest input size, going by its card alone."""
    table = CostTable(max_ms=settings.max_ms, max_mb=settings.max_mb)
    cost = table.predict(backbone, settings.size_px or min(SMALLEST_PX, backbone.preprocess.size))
    return table.allows(GraphCost(ms=CARD_SPREAD[0] * (cost.ms or 0.0), mb=0.9 * (cost.mb or 0.0)))


def fit(
    settings: Settings,
    rundir: RunDir,
    worker: Worker,
    backbones: Sequence[Backbone],
    sizes: Sizes,
    *,
    images: int,
    data: Dataset,
    listener: Listener,
) -> tuple[Sizes, CostTable]:
    """Return the input sizes that keep the limits, () for a network without any, and the costs behind that.

    Raises InputError with the nearest network and its cost where nothing fits.
    """
    table = CostTable(max_ms=settings.max_ms, max_mb=settings.max_mb, classes=len(data.classes), images=images)
    by_name = {b.name: b for b in backbones}
    for line in rundir.read(FILE, list[MeasuredGraph]) or []:
        if line.backbone in by_name:
            table.learn(by_name[line.backbone], line.size_px, line.cost)
    if not table.limited:
        return sizes, table

    began = time.monotonic()

    def measure(backbone: Backbone, size_px: int) -> GraphCost:
        listener.stage(f"measuring {backbone.name} at {size_px} px")
        cost = measured(worker, backbone.name, size_px, listener)
        if settings.budget_s is not None and time.monotonic() - began > MEASURING_SHARE * settings.budget_s:
            table.may_measure = False
        return cost

    fitting = {
        b.name: fitting_sizes(table, b, sizes[b.name], measure, smaller=settings.size_px is None)
        for b in sorted(backbones, key=lambda b: (b.macs or 0, b.name))
    }
    if not any(fitting.values()):
        raise nothing_fits(table, backbones, sizes)
    write(rundir, table)
    return fitting, table


def measured(worker: Worker, name: str, size_px: int, listener: Listener) -> GraphCost:
    """Measure a network in a worker; an unknown cost, which keeps no limit, where it cannot be exported."""
    try:
        reply = worker.ask(MeasureGraph(backbone=name, size_px=size_px), GraphMeasured, listener.progress)
    except AdviseError as error:
        listener.note(f"{name} at {size_px} px cannot be measured: {error.what}")
        return GraphCost(ms=None, mb=None, measured=True)
    return reply.cost


def write(rundir: RunDir, table: CostTable) -> None:
    """Write the measured costs down."""
    lines = [MeasuredGraph(backbone=at.name, size_px=at.size_px, cost=cost) for at, cost in table.measured.items()]
    rundir.write(FILE, lines)


def fitting_sizes(
    table: CostTable, backbone: Backbone, sizes_px: Sequence[int], measure: Measure, *, smaller: bool
) -> tuple[int, ...]:
    """Return the sizes that fit, in their order; where the largest does not, also the largest one below it that does."""

    def fits(size_px: int) -> bool:
        if table.in_doubt(backbone, size_px):
            table.learn(backbone, size_px, measure(backbone, size_px))
        return table.allows(table.predict(backbone, size_px))

    fitting = [px for px in sizes_px if fits(px)]
    if smaller and max(sizes_px) not in fitting:
        step = math.lcm(STEP_PX, backbone.size_multiple)
        lowest = max(max(fitting, default=0) + 1, min(SMALLEST_PX, *sizes_px))
        for px in range((max(sizes_px) - 1) // step * step, lowest - 1, -step):
            if table.allows(table.predict(backbone, px)) and fits(px):
                return (px, *fitting)
    return tuple(fitting)


def nothing_fits(table: CostTable, backbones: Sequence[Backbone], sizes: Sizes) -> InputError:
    """Return the error that names the nearest network, its cost, and what to do."""
    places = [(b, px) for b in backbones for px in {*sizes[b.name], *_measured_sizes(table, b)}]
    nearest, px = min(places, key=lambda at: (table.excess(table.predict(*at)), at[0].name, at[1]))
    cost = table.predict(nearest, px)
    limits = " and ".join(
        f"{option} {value:g}"
        for option, value in (("--max-ms", table.max_ms), ("--max-mb", table.max_mb))
        if value is not None
    )
    shown_ms = "unknown" if cost.ms is None else f"{cost.ms:.1f} ms"
    shown_mb = "unknown" if cost.mb is None else f"{cost.mb:.1f} MB"
    how = "measured" if cost.measured else "predicted"
    return InputError(
        f"no available network keeps {limits}; the nearest is {nearest.name} at {px} px: {shown_ms}, {shown_mb} ({how}).",
        hint="Raise the limit, or let a smaller network compete (`tl-advise weights`).",
    )


def _measured_sizes(table: CostTable, backbone: Backbone) -> list[int]:
    return [at.size_px for at in table.measured if isinstance(at, BackboneAtSize) and at.name == backbone.name]
