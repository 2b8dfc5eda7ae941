"""Durations, the clock, and predictions from cards."""

from __future__ import annotations

import time

import pytest

from advisor import registry
from advisor.errors import InputError
from advisor.execution import timing
from advisor.records import Candidate, Item
from advisor.runtime import durations
from advisor.runtime.clock import Clock
from advisor.testing import contexts
from advisor.tuning import budget


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), (" 2 min ", 120), ("1m30s", 90)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """Plain seconds, s, m, min, h, and sums of them."""
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "fast", "10 parsecs", "-5m", "0s", "m", "5m!"])
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    """The message shows what was written and how it should look."""
    with pytest.raises(InputError, match="--budget"):
        durations.parse(text)


def test_a_resumed_clock_counts_what_was_spent_before() -> None:
    """The time of earlier processes is part of the time used."""
    clock = Clock(100.0, used_before_s=60.0, started=time.monotonic() - 10.0)
    assert 70.0 <= clock.used_s < 75.0
    assert 25.0 < clock.left_s <= 30.0
    assert Clock(None).left_s == float("inf")


def test_a_training_costs_three_passes_an_epoch_and_a_head_one_in_all() -> None:
    """From cards: a head costs one frozen pass; training every stage three an epoch, beside the one of its first head."""
    loaded = registry.load()
    network = loaded.backbone("mobilenet_v2")
    context = contexts.context(stages=[stage.name for stage in network.stages])

    def seconds(strategy: str, parameters: dict[str, object]) -> float:
        candidate = Candidate(
            backbone=network.name, strategy=strategy, parameters=parameters, origin="test", size_px=224
        )
        return budget.card_s(candidate, loaded.strategy(strategy), network, context, 400)

    once_s = budget.extraction_s(400, network.macs or 0.0, "cpu")
    assert seconds("ridge", {}) == pytest.approx(once_s)
    assert seconds("full", {"epochs": 4.0}) == pytest.approx((1 + 3 * 4) * once_s)


def test_speed_follows_readings() -> None:
    """The first reading replaces the guess, later ones are averaged in."""
    speed = budget.Speed()
    speed.learn(1.0, 2.0)
    assert speed.ratio == 2.0
    speed.learn(1.0, 4.0)
    assert speed.ratio == 3.0
    speed.learn(0.0, 4.0)
    assert speed.readings == 2


def test_steps_that_fill_a_cache_do_not_count_for_the_others() -> None:
    """One slow first step of an epoch is expected once an epoch, not at every step (partial training was given up so)."""
    done = [4.5, 0.03, 0.03, 0.03, 0.03]
    assert timing.steps_s(done, 100, fills_seen=1, fills=8) == pytest.approx(100 * 0.03 + 7 * 4.47)
    assert timing.steps_s(done, 100, fills_seen=1, fills=1) == pytest.approx(3.0)
    assert timing.steps_s([0.5, 0.5, 0.6], 10) == pytest.approx(5.0)
    with pytest.raises(ValueError, match="no step"):
        timing.steps_s([], 10)


def test_a_network_s_own_speed_counts_and_a_stranger_s_is_their_mean() -> None:
    """The same multiply-adds take one network ten times as long as another."""
    speeds = budget.Speeds()
    assert speeds.ratio("any") == 1.0
    speeds.learn("slow", 1.0, 2.0)
    speeds.learn("fast", 1.0, 0.2)
    assert speeds.ratio("slow") == 2.0
    assert speeds.ratio("fast") == pytest.approx(0.2)
    assert speeds.ratio("unknown") == pytest.approx(1.1)
    assert not speeds.known("unknown")


def test_large_photos_count_as_what_they_take_to_decode() -> None:
    """Fewer of them fit into the time of a pass; a PNG takes several times as long as a JPEG; small images count nothing."""

    def affordable(width: int, height: int, name: str = "IMG.JPG") -> int | None:
        item = Item(
            path=name, label=0, given="", split="pool", sha256="", width=width, height=height, mode="RGB", bytes=1
        )
        return budget.affordable_images([item] * 10_000, 1.0e8, "cpu", 10.0)

    assert affordable(500, 375) == affordable(1600, 1250) == 2000
    photos, drawings = affordable(4000, 3000), affordable(4000, 3000, "scan.png")
    assert photos is not None
    assert drawings is not None
    assert 300 < photos < 500
    assert drawings < photos / 3
    assert budget.decoding_s([], "cpu") == 0.0
