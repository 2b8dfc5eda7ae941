"""What a search chooses from, made of what was recorded: strategies with recorded guesses, networks and sizes with probes.

In: a `World` and the installed plugins. Out: `SearchFacts`. Does NOT cover: the search (`product.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from table import Row
from world import World

from advisor import registry
from advisor.hooks import Card, Context, Space, Strategy
from advisor.models import backbone as backbones
from advisor.records import Settings
from advisor.records.messages import Description
from advisor.records.plan import TrainPlan
from advisor.tuning import candidates, regime
from advisor.tuning.search_state import SearchFacts


@cache
def plugins() -> registry.Registry:
    """Return the installed plugins."""
    return registry.load()


@cache
def description(name: str) -> Description:
    """Return a network's shape."""
    backbone = plugins().backbone(name)
    stages = backbones.stage_sizes(backbone)
    norm = any(s.has_norm for s in stages)
    return Description(backbone=name, stages=stages, dim=backbone.dim, has_norm=norm, preprocess=backbone.preprocess)


class RecordedGuesses:
    """A strategy whose first guesses are those that were recorded, by the network's width and the input size."""

    def __init__(self, strategy: Strategy, guesses: Mapping[tuple[int, int], Sequence[Mapping[str, Any]]]) -> None:
        self.strategy, self.guesses = strategy, guesses
        self.name, self.regime = strategy.name, strategy.regime

    @property
    def card(self) -> Card | str:
        """Its description."""
        return self.strategy.card

    def applies(self, context: Context) -> str | None:
        """Return None where it applies."""
        return self.strategy.applies(context)

    def space(self, trial: Space, context: Context) -> Mapping[str, Any]:
        """Draw from its space."""
        return self.strategy.space(trial, context)

    def first_guesses(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the recorded guesses."""
        return self.guesses.get((context.dim, context.size_px), [])

    def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
        """Return its plan."""
        return self.strategy.plan(parameters, context)


def facts_of(world: World) -> SearchFacts:
    """Return the facts of a search on recorded trainings."""
    first = world.rows[0]
    offered = _registry(world.rows)
    sizes: dict[str, tuple[int, ...]] = {}
    for name, size_px in sorted({r.place for r in world.rows if r.is_probe}):
        sizes[name] = (*sizes.get(name, ()), size_px)
    return SearchFacts(
        settings=Settings(data="", budget_s=world.budget_s, seed=world.seed),
        registry=offered,
        strategies=candidates.selectable(offered.strategies, (), None),
        regime=regime.by_size(first.pool, first.classes),
        counts=tuple(first.pool // first.classes + (k < first.pool % first.classes) for k in range(first.classes)),
        test_images=0,
        device="cpu",
        sizes=sizes,
    )


def _registry(rows: Sequence[Row]) -> registry.Registry:
    """Return the installed plugins, every strategy with the first guesses that were recorded."""
    guesses: dict[str, dict[tuple[int, int], list[Mapping[str, Any]]]] = {name: {} for name in plugins().strategies}
    for row in sorted(rows, key=lambda r: r.candidate.origin):
        if row.candidate.origin_kind == "guess":
            c = row.candidate
            guesses[c.strategy].setdefault((description(c.backbone).dim, c.size_px), []).append(c.parameters)
    strategies = {name: RecordedGuesses(s, guesses[name]) for name, s in plugins().strategies.items()}
    return replace(plugins(), strategies=strategies)
