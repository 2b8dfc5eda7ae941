"""The product's own search on recorded trainings: it decides there as it does on a machine."""

from __future__ import annotations

import product
import pytest
import table
from world import BUDGET_S, World

from advisor.records.trials import DEFAULT


@pytest.fixture(scope="module")
def rows() -> list[table.Row]:
    """The recorded trainings of one cell."""
    return table.cells(table.read())["sketch", 200]


def trials(rows: list[table.Row], speed: float, seed: int) -> tuple[World, product.Replay]:
    """Search once."""
    world = World(rows, speed, seed, probes=False)
    return world, product.search(world)


@pytest.mark.parametrize("speed", [1.0, 16.0])
def test_a_search_begins_with_the_untuned_default_and_ends_in_time(rows: list[table.Row], speed: float) -> None:
    """Trial 0 is the default; nothing is tried twice; the same world and seed bring the same search."""
    world, replay = trials(rows, speed, 0)
    assert replay.begun[0].origin == DEFAULT
    assert len({product.key(c) for c in replay.begun if c.continues is None}) == len(replay.begun)
    assert world.used_s <= 1.1 * BUDGET_S
    assert world.best_loss == min(t.loss for t in replay.state().contenders())
    assert trials(rows, speed, 0)[1].begun == replay.begun


def test_more_time_is_used(rows: list[table.Row]) -> None:
    """A faster machine tries more."""
    assert len(trials(rows, 64.0, 0)[1].begun) > len(trials(rows, 1.0, 0)[1].begun)


def test_the_verdict_chooses_among_what_was_tried(rows: list[table.Row]) -> None:
    """The winner's test scores are those of a contender."""
    world = World(rows, 16.0, 1, probes=False)
    replay = product.search(world, judged=True)
    assert world.best_test in [world.tested(*replay.read[t.number]) for t in replay.state().contenders()]
