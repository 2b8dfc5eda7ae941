"""How long a candidate may train: whole, without its refit, with fewer epochs, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import contests
import pytest

from advisor.records import Candidate, FoldScore, Trial
from advisor.runtime import clock
from advisor.tuning import budget, cost_model, epoch_budget
from advisor.tuning.search_state import Contest
from advisor.tuning.trials.study import Study

FULL = Candidate(backbone="pocket", strategy="full", parameters={"epochs": 10.0}, size_px=64)
HEAD = Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=64)


@pytest.fixture
def contest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contest]:
    """A contest whose default, a head, is done: 48 images, of which training takes as long as the test says."""
    with contests.on_crops(tmp_path_factory.mktemp("length")) as contest:
        ended(contest, HEAD, steps=0)
        yield contest


def ended(contest: Contest, candidate: Candidate, *, steps: int) -> None:
    """Write down that a candidate was tried and ended well."""
    number = contest.begin(candidate)
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=1.0)
    strategy = contest.registry.strategy(candidate.strategy)
    contest.study.finish(
        Trial(
            number=number,
            candidate=candidate,
            regime=strategy.regime,
            state="complete",
            scores=(score,),
            steps=steps,
            seconds=0.1,
        )
    )


def taking(contest: Contest, fold_s: float) -> Contest:
    """Let the whole training of FULL on all of its folds' images take so many seconds on this machine."""
    images = contest.images - contest.images // 5
    contest.training["full"] = budget.Speeds()
    contest.training["full"].learn("pocket", cost_model.card_s(contest, FULL, images), fold_s)
    contest.frozen.learn("pocket", 1.0, 1e-6)
    return contest


def epochs(candidate: Candidate | None) -> float:
    """How long a candidate trains."""
    assert candidate is not None
    found = candidate.parameters["epochs"]
    assert isinstance(found, float)
    return found


def test_what_fits_with_its_refit_is_left_whole(contest: Contest) -> None:
    """Ten minutes for a minute's work."""
    assert epoch_budget.in_reach(taking(contest, 20.0), FULL) == FULL


def test_the_first_training_runs_on_two_small_folds_instead_of_a_refit(contest: Contest) -> None:
    """The mean of both folds' models ships: with a refit beside one fold fewer epochs would fit."""
    slow = taking(contest, 450.0)
    shorter = epoch_budget.in_reach(slow, FULL)
    assert shorter is not None
    assert 5 < epochs(shorter) < 7
    assert len(cost_model.folds_for(slow, shorter)) == 2
    assert cost_model.affordable(slow, shorter, refit=False, folds=2)
    assert not cost_model.affordable(slow, shorter, folds=2)


def test_the_untuned_default_keeps_its_refit_and_where_it_was_out_of_reach_others_do_not_wait_for_it(
    contest: Contest,
) -> None:
    """`--regime full` in a short budget: nothing was tried before, and the first training still gives up its refit."""
    slow = taking(contest, 1500.0)
    assert epoch_budget.in_reach(slow, replace(FULL, origin="default")) is None
    slow = replace(slow, study=Study(slow.rundir.path / "empty.db", 0))
    assert slow.default is None
    assert epochs(epoch_budget.in_reach(slow, FULL)) >= 2


def test_where_two_folds_do_not_fit_one_does(contest: Contest) -> None:
    """Two epochs on two folds would take too long, on one fold they fit."""
    slow = taking(contest, 1500.0)
    shorter = epoch_budget.in_reach(slow, FULL)
    assert epochs(shorter) >= 2
    assert shorter is not None
    assert cost_model.folds_for(slow, shorter) == (0,)


def test_on_large_folds_the_first_training_gives_up_its_refit_before_half_of_its_epochs(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fold of many images says enough: with the refit three epochs would fit, without it all but the slack."""
    monkeypatch.setattr("advisor.tuning.cost_model.SURE_AIM", contest.images // 5)
    asked = epochs(epoch_budget.in_reach(taking(contest, 450.0), FULL))
    assert asked > 8
    assert not cost_model.affordable(contest, epoch_budget.of_epochs(FULL, asked))
    assert cost_model.affordable(contest, epoch_budget.of_epochs(FULL, asked), refit=False)


def test_after_that_every_training_keeps_its_refit_back(contest: Contest) -> None:
    """What leads can then be trained on all images, if its own refit fits."""
    ended(contest, replace(FULL, parameters={"epochs": 9.0}), steps=10)
    asked = epochs(epoch_budget.in_reach(taking(contest, 450.0), FULL))
    assert asked < 5
    assert cost_model.affordable(contest, epoch_budget.of_epochs(FULL, asked))


def test_what_cannot_learn_anything_in_time_is_left_out(contest: Contest) -> None:
    """Less than two epochs of 48 images."""
    assert epoch_budget.in_reach(taking(contest, 6000.0), FULL) is None


def test_without_a_clock_nothing_is_shortened(contest: Contest) -> None:
    """Under --trials no decision depends on a speed."""
    slow = replace(taking(contest, 1e6), clock=clock.Clock(None), settings=replace(contest.settings, budget_s=None))
    assert epoch_budget.in_reach(slow, FULL) == FULL


def test_a_regime_that_was_not_tried_for_lack_of_time_is_said_with_what_it_needs(contest: Contest) -> None:
    """ "full would need 38 min of the 7": what its briefest takes in the search and as a refit, of the whole budget."""
    slow = taking(contest, 6000.0)
    slow.strategies = {n: s for n, s in slow.registry.strategies.items() if n in ("ridge", "full")}
    (told,) = epoch_budget.untried(slow, slow.study.trials())
    assert told.startswith("full fine-tuning was not tried: even a short training would need about ")
    assert told.endswith(" of the 10 min")
    (other,) = epoch_budget.untried(taking(slow, 900.0), slow.study.trials())
    assert other == "full fine-tuning was not tried: something else promised more for its time"
    ended(slow, FULL, steps=10)
    assert epoch_budget.untried(slow, slow.study.trials()) == []


def test_what_the_end_of_the_best_takes_is_kept_back_while_others_are_tried(contest: Contest) -> None:
    """A cheap candidate may not use up the time that refitting and scoring a dear leader takes."""
    dear = replace(HEAD, strategy="logistic")
    before = cost_model.end_s(contest, HEAD)
    number = contest.begin(dear)
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.9, log_loss=0.1)
    best = Trial(
        number=number, candidate=dear, regime="feature_extraction", state="complete", scores=(score,), seconds=90.0
    )
    contest.study.finish(best)
    assert contest.best() == best
    assert cost_model.finish_s(contest, HEAD) == pytest.approx(before)
    assert cost_model.end_s(contest, HEAD) == pytest.approx(cost_model.finish_s(contest, dear))
    assert cost_model.end_s(contest, HEAD) > before + 40
