"""Which guess comes next where a clock runs, and what is looked at before the first training is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import contests
import numpy as np
import pytest

from advisor.records import Candidate
from advisor.records.trials import DEFAULT
from advisor.tuning import portfolio, probes, search, step_probe, study
from advisor.tuning.search_state import Contest

PLACES = [("pocket", 96), ("pocket", 64)]


@pytest.fixture
def contest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contest]:
    """A contest on real crops whose probes are done, heads and full fine-tuning allowed."""
    with contests.on_crops(tmp_path_factory.mktemp("portfolio")) as contest:
        contest.strategies = {n: contest.registry.strategies[n] for n in ("ridge", "logistic", "full")}
        contest.sizes = {"pocket": (64, 96)}
        probes.probe_all(contest, [contest.registry.backbone("pocket")])
        yield contest


def drawn(contest: Contest, looked: list[Candidate], monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """Take guesses until a training comes."""
    monkeypatch.setattr(step_probe, "look", lambda contest, candidate: looked.append(candidate))
    first = Candidate(backbone="pocket", strategy="ridge", parameters={}, origin="default", size_px=64)
    source, taken = portfolio.Portfolio(contest, first, PLACES), list[Candidate]()
    while (found := source.next()) is not None:
        taken.append(found[1])
        contest.study.begin(found[1])
        if contest.is_deep(found[1]):
            break
    return taken


def test_the_pace_of_the_most_accurate_network_is_seen_before_a_training_is_chosen(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guessed too slow it would seem out of reach: it is timed on its smallest images, once, after all heads."""
    looked: list[Candidate] = []
    taken = drawn(contest, looked, monkeypatch)
    assert [(c.strategy, c.size_px) for c in looked] == [("full", 64)]
    assert {c.strategy for c in taken[:-1]} == {"ridge", "logistic"}
    assert taken[-1].strategy == "full"


def test_a_probe_is_no_trial_again_and_the_default_that_is_one_costs_nothing(contest: Contest) -> None:
    """The untuned default takes the scores and predictions of its probe; no guess repeats another probe."""
    contest.settings = replace(contest.settings, trials=3)
    probed = {study.key(p.candidate): p for p in contest.probes}
    ran: list[int] = []
    submit = contest.crew.submit
    contest.crew.submit = lambda order: (ran.append(order.number), submit(order))[1]  # type: ignore[method-assign]
    contest.regime = replace(contest.regime, name="feature_extraction")
    contest.strategies = {"ridge": contest.registry.strategies["ridge"]}
    search.explore(contest, [contest.registry.backbone("pocket")])
    trials = contest.study.trials()
    first = trials[0]
    same = probed[study.key(first.candidate)]
    assert first.candidate.origin == DEFAULT
    assert 0 not in ran
    assert first.scores == same.scores
    with (
        np.load(contest.rundir.path / first.predictions) as own,
        np.load(contest.rundir.path / same.predictions) as its,
    ):
        assert np.array_equal(own["logits"], its["logits"])
    assert not [t for t in trials[1:] if study.key(t.candidate) in probed]
