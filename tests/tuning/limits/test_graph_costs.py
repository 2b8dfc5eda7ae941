"""Predicted costs of exported graphs: from cards, corrected by measurements; what keeps a limit and what is in doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor import registry
from advisor.hooks import Backbone
from advisor.records import Candidate
from advisor.records.limits import GraphCost
from advisor.tuning.limits.graph_costs import CostTable, card_mb, card_ms


@pytest.fixture(name="pocket")
def _pocket() -> Backbone:
    return registry.load().backbone("pocket")


def test_a_prediction_grows_with_the_square_of_the_input(pocket: Backbone) -> None:
    """Multiply-adds scale with the area; parameters do not."""
    table = CostTable(classes=3)
    px = pocket.preprocess.size
    small, large = table.predict(pocket, px), table.predict(pocket, 2 * px)
    assert small.ms == pytest.approx(card_ms(pocket.macs or 0))
    assert large.ms == pytest.approx(card_ms(4 * (pocket.macs or 0)))
    assert small.mb == large.mb == pytest.approx(card_mb(pocket.parameters or 0, 3 * pocket.dim))
    assert not small.measured


def test_a_measurement_corrects_other_sizes_and_other_networks(pocket: Backbone) -> None:
    """The ratio of measured to predicted milliseconds carries over; the file's size is that of any input size."""
    table, px = CostTable(), pocket.preprocess.size
    before = table.predict(pocket, 2 * px).ms or 0.0
    table.learn(pocket, px, GraphCost(ms=3 * card_ms(pocket.macs or 0), mb=7.0, measured=True))
    assert table.predict(pocket, px) == GraphCost(ms=3 * card_ms(pocket.macs or 0), mb=7.0, measured=True)
    assert table.predict(pocket, 2 * px).ms == pytest.approx(3 * before)
    assert table.predict(pocket, 2 * px).mb == 7.0
    other = replace(pocket, name="other")
    assert table.predict(other, px).ms == pytest.approx(3 * card_ms(pocket.macs or 0))


def test_unknown_keeps_no_limit() -> None:
    """What cannot be measured is never shipped under a limit; without limits everything is allowed."""
    unknown = GraphCost(ms=None, mb=1.0)
    assert not CostTable(max_ms=5.0).allows(unknown)
    assert CostTable(max_mb=1.0).allows(unknown)
    assert CostTable().allows(unknown)
    assert not CostTable(max_mb=0.99).allows(unknown)


def test_only_what_is_near_a_limit_is_in_doubt(pocket: Backbone) -> None:
    """Far below and far above need no measurement, near does, a measured one never."""
    px = pocket.preprocess.size
    ms = CostTable().predict(pocket, px).ms or 0.0
    assert not CostTable(max_ms=20 * ms).in_doubt(pocket, px)
    assert not CostTable(max_ms=ms / 20).in_doubt(pocket, px)
    near = CostTable(max_ms=1.1 * ms)
    assert near.in_doubt(pocket, px)
    near.learn(pocket, px, GraphCost(ms=ms, mb=1.0, measured=True))
    assert not near.in_doubt(pocket, px)


def test_a_mirrored_candidate_takes_twice_the_time_and_neighbours_keep_their_features(pocket: Backbone) -> None:
    """Two passes of the network; four bytes for every feature of every training image."""
    table, px = CostTable(images=1000), pocket.preprocess.size
    plain = table.predict(pocket, px)
    candidate = Candidate(backbone="pocket", strategy="ridge", parameters={"mirror": True}, origin="guess", size_px=px)
    assert table.of_candidate(pocket, candidate, "linear").ms == pytest.approx(2 * (plain.ms or 0))
    neighbours = table.of_candidate(pocket, replace(candidate, parameters={}), "knn")
    assert neighbours.mb == pytest.approx((plain.mb or 0) + 4e-6 * 1000 * pocket.dim)
