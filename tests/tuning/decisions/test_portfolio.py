"""Which guess comes next where a clock runs, and what is looked at before the first training is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import searches

from advisor.records import Candidate
from advisor.records.trials import DEFAULT
from advisor.tuning import probes, search
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions import portfolio, probe_order
from advisor.tuning.search_run import SearchRun
from advisor.tuning.trials.study import key

BACKBONES = [BackboneAtSize("pocket", 96), BackboneAtSize("pocket", 64)]


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRun]:
    """A search on real crops whose probes are done, heads and full fine-tuning allowed."""
    with searches.on_crops(tmp_path_factory.mktemp("portfolio")) as run:
        strategies = {n: run.facts.registry.strategies[n] for n in ("ridge", "logistic", "full")}
        run.facts = replace(run.facts, strategies=strategies, sizes={"pocket": (64, 96)})
        for at, card_s in probe_order.pass_costs(run.facts, [run.facts.registry.backbone("pocket")]).items():
            probes.make(run, at, card_s)
        yield run


def test_the_pace_of_the_most_accurate_network_is_seen_before_a_training_is_chosen(run: SearchRun) -> None:
    """Guessed too slow it would seem out of reach: it is timed on its smallest images, once, after all heads."""
    timed, taken = list[Candidate](), list[Candidate]()
    first = Candidate(backbone="pocket", strategy="ridge", parameters={}, origin="default", size_px=64)
    source = portfolio.Portfolio(run.state(), first, BACKBONES)
    while (step := source.next(run.state())) is not None:
        if isinstance(step, portfolio.MeasurePace):
            timed.append(step.candidate)
            continue
        taken.append(step.candidate)
        run.study.begin(step.candidate)
        if run.facts.trains_backbone(step.candidate):
            break
    assert [(c.strategy, c.size_px) for c in timed] == [("full", 64)]
    assert {c.strategy for c in taken[:-1]} == {"ridge", "logistic"}
    assert taken[-1].strategy == "full"


def test_a_probe_is_no_trial_again_and_the_default_that_is_one_costs_nothing(run: SearchRun) -> None:
    """The untuned default takes the scores and predictions of its probe; no guess repeats another probe."""
    probed = {key(p.candidate): p for p in run.probes}
    ran: list[int] = []
    submit = run.workers.submit
    run.workers.submit = lambda order: (ran.append(order.number), submit(order))[1]  # type: ignore[method-assign]
    run.facts = replace(
        run.facts,
        settings=replace(run.facts.settings, trials=3),
        regime=replace(run.facts.regime, name="feature_extraction"),
        strategies={"ridge": run.facts.registry.strategies["ridge"]},
    )
    search.explore(run, [run.facts.registry.backbone("pocket")])
    trials = run.study.trials()
    first = trials[0]
    same = probed[key(first.candidate)]
    assert first.candidate.origin == DEFAULT
    assert 0 not in ran
    assert first.scores == same.scores
    with (
        np.load(run.rundir.path / first.predictions) as own,
        np.load(run.rundir.path / same.predictions) as its,
    ):
        assert np.array_equal(own["logits"], its["logits"])
    assert not [t for t in trials[1:] if key(t.candidate) in probed]


def test_a_cheap_head_is_tried_on_the_second_best_features_before_anything_is_trained(run: SearchRun) -> None:
    """Probes that nearly tie leave open on which features a head ends lower; far behind, it is not expected to."""

    def heads_before_training(losses: dict[int, float]) -> list[tuple[str, int | None]]:
        own = [replace(s, log_loss=1.0) for s in run.probes[0].scores]
        probed = tuple(
            replace(
                run.probes[0],
                candidate=replace(run.probes[0].candidate, size_px=px),
                scores=tuple(replace(s, log_loss=loss) for s in own),
                objective=None,
            )
            for px, loss in losses.items()
        )
        first = Candidate(backbone="pocket", strategy="ridge", parameters={}, origin="default", size_px=96)
        source, state, taken = portfolio.Portfolio(run.state(), first, BACKBONES), run.state(), list[Candidate]()
        while (step := source.next(replace(state, probes=probed, begun=tuple(taken)))) is not None:
            if isinstance(step, portfolio.MeasurePace) or state.trains_backbone(step.candidate):
                break
            taken.append(step.candidate)
        return [(c.strategy, c.size_px) for c in taken]

    assert ("logistic", 64) in heads_before_training({96: 0.50, 64: 0.51})
    assert ("logistic", 64) not in heads_before_training({96: 0.50, 64: 1.00})
