"""Which guess comes next where a clock runs, and what is looked at before the first training is chosen."""

from __future__ import annotations

from collections.abc import Iterator

import contests
import pytest

from advisor import first_steps, portfolio, probing
from advisor.contest import Contest
from advisor.records import Candidate

PLACES = [("pocket", 96), ("pocket", 64)]


@pytest.fixture
def contest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contest]:
    """A contest on real crops whose probes are done, heads and full fine-tuning allowed."""
    with contests.on_crops(tmp_path_factory.mktemp("portfolio")) as contest:
        contest.strategies = {n: contest.registry.strategies[n] for n in ("ridge", "logistic", "full")}
        contest.sizes = {"pocket": (64, 96)}
        probing.probe_all(contest, [contest.registry.backbone("pocket")])
        yield contest


def drawn(contest: Contest, looked: list[Candidate], monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """Take guesses until a training comes."""
    monkeypatch.setattr(first_steps, "look", lambda contest, candidate: looked.append(candidate))
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
