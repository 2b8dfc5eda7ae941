"""Which networks may join the winner in an ensemble, and the time that is reserved for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import searches

from advisor.records import Candidate, FoldScore, Trial
from advisor.tuning import cost_model, policy
from advisor.tuning.search_state import SearchState


@pytest.fixture(scope="module", name="state")
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchState]:
    """A search on 48 crops with a probe of five networks; one of them at two sizes, one on squashed images."""
    with searches.on_crops(tmp_path_factory.mktemp("rivals")) as run:
        probes = (
            probe(1, 0.5, "pocket", 64),
            probe(2, 0.9, "squeezenet1_1", 64),
            probe(3, 0.3, "squeezenet1_1", 96),
            probe(6, 0.6, "densenet121", 80),
            probe(4, 0.7, "mobilenet_v2", 64, fit="squash"),
            probe(5, 0.8, "resnet18", 64),
        )
        yield replace(run.state(), probes=probes, left_s=400.0)


def probe(number: int, loss: float, backbone: str, size_px: int, fit: str = "crop") -> Trial:
    """A head on frozen features, scored on all folds."""
    return Trial(
        number=-number,
        candidate=Candidate(backbone=backbone, strategy="ridge", parameters={"fit": fit}, size_px=size_px),
        regime="feature_extraction",
        state="complete",
        scores=(FoldScore(fold=0, repeat=0, seed=0, n=48, accuracy=0.5, log_loss=loss),),
        seconds=0.1,
    )


def networks(state: SearchState, winner: Candidate) -> list[tuple[str, int | None]]:
    """Name the rivals, best first."""
    return [(t.candidate.backbone, t.candidate.size_px) for t in state.rivals_of(winner)]


def test_rivals_are_other_networks_that_can_take_the_winners_squares(state: SearchState) -> None:
    """Each once, at its best size that is hardly larger; one whose images are squashed sees other parts of them."""
    pocket = state.probes[0].candidate
    assert networks(state, pocket) == [("densenet121", 80), ("resnet18", 64), ("squeezenet1_1", 64)]
    assert networks(state, replace(pocket, size_px=96)) == [
        ("squeezenet1_1", 96),
        ("densenet121", 80),
        ("resnet18", 64),
    ]
    assert networks(state, replace(pocket, parameters={"fit": "squash"})) == [("mobilenet_v2", 64)]


def test_time_is_reserved_for_an_ensemble_that_is_cheap(state: SearchState) -> None:
    """Its heads and their passes over the test, the best that fit into a share of the budget; none on many images."""
    winner = state.probes[0].candidate
    members = cost_model.reserved_members(state, winner)
    assert [c.backbone for c in members] == ["densenet121", "resnet18", "squeezenet1_1"]
    alone_s = cost_model.finish_s(state, winner, beside=())
    assert cost_model.finish_s(state, winner) == cost_model.finish_s(state, winner, beside=members) > alone_s
    assert cost_model.reserved_members(replace(state, probes=state.probes[:1]), winner) == ()
    short = replace(state, settings=replace(state.settings, budget_s=0.01 / policy.ENSEMBLE_SHARE))
    assert cost_model.reserved_members(short, winner) == ()
    last_s = cost_model.finish_s(state, winner) - cost_model.finish_s(state, winner, beside=members[:-1])
    rest_s = cost_model.finish_s(state, winner, beside=members[:-1]) - alone_s
    for_two = (rest_s + last_s / 2) / policy.FINISH_MARGIN / policy.ENSEMBLE_SHARE
    tight = replace(state, settings=replace(state.settings, budget_s=for_two))
    assert cost_model.reserved_members(tight, winner) == members[:-1]
    endless = replace(state, settings=replace(state.settings, budget_s=None, trials=5))
    assert cost_model.reserved_members(endless, winner) == members
    many = replace(state, counts=(policy.ENSEMBLE_IMAGES,))
    assert cost_model.reserved_members(many, winner) == ()
