"""Which network and size the untuned default takes, from the probes and the published accuracies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import searches

from advisor.records import Trial
from advisor.tuning import budget, probes
from advisor.tuning.decisions import probe_order
from advisor.tuning.search_run import SearchRun

NAMES = ("pocket", "squeezenet1_1", "mobilenet_v2")  # published: unknown, 58.2 %, 71.9 %


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRun]:
    """A search on real crops with one probe, of the built-in network."""
    with searches.on_crops(tmp_path_factory.mktemp("probe_order")) as run:
        sizes = dict.fromkeys(NAMES, (64,))
        run.facts = replace(run.facts, strategies=run.facts.registry.strategies, sizes=sizes)
        for at, card_s in probe_order.pass_costs(run.facts, [run.facts.registry.backbone("pocket")]).items():
            probes.make(run, at, card_s)
        yield run


def probe(run: SearchRun, name: str, log_loss: float) -> Trial:
    """Return the run's probe as if another network had reached this log-loss."""
    made = run.probes[0]
    scores = tuple(replace(score, log_loss=log_loss) for score in made.scores)
    return replace(made, candidate=replace(made.candidate, backbone=name), scores=scores, objective=None)


@pytest.mark.parametrize(
    ("losses", "taken"),
    [
        ({"squeezenet1_1": 0.500, "mobilenet_v2": 0.509}, "mobilenet_v2"),  # a tie: the higher published accuracy
        ({"squeezenet1_1": 0.500, "mobilenet_v2": 0.511}, "squeezenet1_1"),  # no tie
        ({"pocket": 0.500, "mobilenet_v2": 0.509}, "pocket"),  # a tie with an unknown accuracy says nothing against it
        ({"squeezenet1_1": 0.500, "pocket": 0.509}, "squeezenet1_1"),
    ],
)
def test_published_accuracy_breaks_ties_of_probes_where_it_is_known(
    run: SearchRun, losses: dict[str, float], taken: str
) -> None:
    """Self-supervised networks have none: they must not lose a tie for that."""
    state = run.state()
    state = replace(
        state,
        backbones=dict.fromkeys(NAMES, state.backbones["pocket"]),
        probes=tuple(probe(run, name, loss) for name, loss in losses.items()),
    )
    backbones = [run.facts.registry.backbone(name) for name in losses]
    assert probe_order.default(state, backbones).backbone == taken


def test_a_training_that_fits_only_on_a_weak_network_gives_way_to_a_head_on_the_best(run: SearchRun) -> None:
    """The untuned default is what an informed user would take; with a regime that is asked for, it stays in it."""
    state, names = run.state(), ("pocket", "mobilenet_v2")
    speeds = budget.MeasuredSpeeds()
    for name, factor in (("pocket", 1e6), ("mobilenet_v2", 1e-3)):
        speeds.observe_training("full", name, 1.0, factor)
    state = replace(
        state,
        backbones=dict.fromkeys(names, state.backbones["pocket"]),
        probes=tuple(probe(run, name, loss) for name, loss in (("pocket", 0.5), ("mobilenet_v2", 0.9))),
        regime=replace(state.regime, name="full"),
        speeds=speeds,
    )
    backbones = [run.facts.registry.backbone(name) for name in names]
    free = probe_order.default(state, backbones)
    assert (free.backbone, state.trains_backbone(free)) == ("pocket", False)
    forced = replace(state, settings=replace(state.settings, regime="full"))
    asked_for = probe_order.default(forced, backbones)
    assert (asked_for.backbone, state.trains_backbone(asked_for)) == ("mobilenet_v2", True)
    stronger = replace(state, probes=tuple(probe(run, n, loss) for n, loss in (("pocket", 0.9), ("mobilenet_v2", 0.5))))
    assert probe_order.default(stronger, backbones).backbone == "mobilenet_v2"
