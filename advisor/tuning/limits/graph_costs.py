"""What the exported graph of a network at an input size costs: predicted from cards, corrected by measurements.

In: multiply-adds and parameters of the cards, measured graphs. Out: `GraphCost` for every network and size, and whether it
keeps the limits. Does NOT cover: measuring (`exporting.latency`), choosing input sizes (`fits_limits`).
Source of the numbers: benchmarks/limits/latency.py (docs/limits.md).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from advisor.hooks import Backbone
from advisor.records import Candidate
from advisor.records.limits import GraphCost
from advisor.tuning.budget import at_size
from advisor.tuning.candidates import BackboneAtSize

OVERHEAD_MS, MACS_PER_MS = 0.8, 3.0e7  # of one image in onnxruntime on one thread
GRAPH_MB = 0.25  # nodes, names and the description, beside four bytes per parameter
# How far a measurement may lie from the prediction: from cards alone, and where the network was measured at another size.
CARD_SPREAD, OWN_SPREAD = (0.4, 2.5), (0.75, 1.35)
MB_SPREAD = (0.95, 1.1)


def card_ms(macs: float) -> float:
    """Predict the milliseconds of one image from its multiply-adds."""
    return OVERHEAD_MS + macs / MACS_PER_MS


def card_mb(parameters: int, head_values: int) -> float:
    """Predict the megabytes of the exported file from the numbers in network and head, in float32."""
    return GRAPH_MB + 4e-6 * (parameters + head_values)


@dataclass
class CostTable:
    """The limits, and what was measured. `images` are those for training, which a nearest-neighbour head holds."""

    max_ms: float | None = None
    max_mb: float | None = None
    classes: int = 0
    images: int = 0
    measured: dict[BackboneAtSize, GraphCost] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    may_measure: bool = True  # False once measuring took its share of the budget: predictions decide from then on

    @property
    def limited(self) -> bool:
        """Return True if there is a limit."""
        return self.max_ms is not None or self.max_mb is not None

    def learn(self, backbone: Backbone, size_px: int, cost: GraphCost) -> None:
        """Add a measurement; its milliseconds correct the predictions of this network, and of others, at other sizes."""
        self.measured[BackboneAtSize(backbone.name, size_px)] = cost
        if cost.ms is not None:
            self.ratios.setdefault(backbone.name, []).append(cost.ms / _card(backbone, size_px))

    def predict(self, backbone: Backbone, size_px: int) -> GraphCost:
        """Return the cost of a network with a linear head at an input size: as measured, else as predicted."""
        measured = self.measured.get(BackboneAtSize(backbone.name, size_px))
        if measured is not None:
            return measured
        others = [statistics.fmean(each) for each in self.ratios.values()]
        own = self.ratios.get(backbone.name)
        ratio = statistics.fmean(own) if own else statistics.median(others) if others else 1.0
        sizes = [cost.mb for at, cost in self.measured.items() if at.name == backbone.name and cost.mb is not None]
        from_card = None if backbone.parameters is None else card_mb(backbone.parameters, self.classes * backbone.dim)
        return GraphCost(ms=ratio * _card(backbone, size_px), mb=sizes[0] if sizes else from_card)

    def of_candidate(self, backbone: Backbone, candidate: Candidate, head: str) -> GraphCost:
        """Return the cost of a candidate: a mirrored one passes the network twice, a neighbour head keeps all features."""
        cost = self.predict(backbone, candidate.size_px or backbone.preprocess.size)
        passes = 2 if candidate.parameters.get("mirror") else 1
        kept_mb = 4e-6 * self.images * backbone.dim if head == "knn" else 0.0
        if passes == 1 and not kept_mb:
            return cost
        return GraphCost(
            ms=None if cost.ms is None else passes * cost.ms, mb=None if cost.mb is None else cost.mb + kept_mb
        )

    def allows(self, cost: GraphCost) -> bool:
        """Return True if a cost keeps the limits; what is unknown does not."""
        return all(
            limit is None or (value is not None and value <= limit)
            for limit, value in ((self.max_ms, cost.ms), (self.max_mb, cost.mb))
        )

    def in_doubt(self, backbone: Backbone, size_px: int) -> bool:
        """Return True if a prediction is too near to a limit to be relied on, or missing."""
        if not self.may_measure or BackboneAtSize(backbone.name, size_px) in self.measured:
            return False
        cost = self.predict(backbone, size_px)
        low, high = OWN_SPREAD if backbone.name in self.ratios else CARD_SPREAD
        near_ms = self.max_ms is not None and (cost.ms is None or low * cost.ms <= self.max_ms < high * cost.ms)
        low, high = MB_SPREAD
        near_mb = self.max_mb is not None and (cost.mb is None or low * cost.mb <= self.max_mb < high * cost.mb)
        if near_ms or near_mb:
            surely_out = (self.max_mb is not None and cost.mb is not None and low * cost.mb > self.max_mb) or (
                self.max_ms is not None and cost.ms is not None and CARD_SPREAD[0] * cost.ms > self.max_ms
            )
            return not surely_out
        return False

    def excess(self, cost: GraphCost) -> float:
        """Return how many times its limit a cost is, of the limit that it exceeds most; infinite where it is unknown."""
        pairs = [(self.max_ms, cost.ms), (self.max_mb, cost.mb)]
        return max((float("inf") if v is None else v / limit for limit, v in pairs if limit is not None), default=0.0)


def _card(backbone: Backbone, size_px: int) -> float:
    return card_ms(at_size(backbone.macs, backbone.preprocess.size, size_px))
