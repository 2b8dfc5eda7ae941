"""How long a candidate may train: whole, without its refit, with fewer epochs, or not at all; and its measured pace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import searches
from searches import FULL, taking

from advisor.hooks import Card, Context, Parameter, Phase, TrainPlan
from advisor.records import Candidate, FoldScore, Trial
from advisor.records.messages import StepTime, TimeSteps
from advisor.records.trials import regime_name
from advisor.tuning import budget, cost_model, epoch_budget, pace, policy
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchState

HEAD = Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=64)


@pytest.fixture(scope="module")
def nothing_tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRun]:
    """A search on 48 real crops with one worker, ten minutes, and nothing tried."""
    with searches.on_crops(tmp_path_factory.mktemp("length")) as run:
        yield run


@pytest.fixture
def run(nothing_tried: SearchRun) -> SearchRun:
    """The same, with speeds of its own."""
    return replace(nothing_tried, speeds=budget.MeasuredSpeeds())


@pytest.fixture
def state(run: SearchRun) -> SearchState:
    """What is known when the untuned default, a head, is done."""
    return replace(after(run.state(), HEAD, steps=0), left_s=590.0)


def after(state: SearchState, candidate: Candidate, *, steps: int) -> SearchState:
    """What is known once a candidate was tried and ended well; the first one is the untuned default."""
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=1.0)
    trial = Trial(
        number=len(state.trials),
        candidate=candidate,
        regime=regime_name(state.strategy_of(candidate).regime),
        state="complete",
        scores=(score,),
        steps=steps,
        seconds=0.1,
    )
    return replace(state, trials=(*state.trials, trial), default=state.default or trial)


def epochs(candidate: Candidate | None) -> float:
    """How long a candidate trains."""
    assert candidate is not None
    length = candidate.parameters["epochs"]
    assert isinstance(length, float)
    return length


def test_what_fits_with_its_refit_is_left_whole(state: SearchState) -> None:
    """Ten minutes for a minute's work."""
    assert epoch_budget.fitted(taking(state, 20.0), FULL) == FULL


def test_the_first_training_runs_on_two_small_folds_instead_of_a_refit(state: SearchState) -> None:
    """The mean of both folds' models ships: with a refit beside one fold fewer epochs would fit."""
    slow = taking(state, 450.0)
    shorter = epoch_budget.fitted(slow, FULL)
    assert shorter is not None
    assert 5 < epochs(shorter) < 7
    assert len(cost_model.folds_for(slow, shorter)) == 2
    assert cost_model.fits_time(slow, shorter, refit=False, folds=2)
    assert not cost_model.fits_time(slow, shorter, folds=2)


def test_the_untuned_default_keeps_its_refit_and_where_it_did_not_fit_others_do_not_wait_for_it(
    state: SearchState,
) -> None:
    """`--regime full` in a short budget: nothing was tried before, and the first training still gives up its refit."""
    slow = taking(state, 1500.0)
    assert epoch_budget.fitted(slow, replace(FULL, origin="default")) is None
    assert epochs(epoch_budget.fitted(replace(slow, trials=(), default=None), FULL)) >= 2


def test_where_two_folds_do_not_fit_one_does(state: SearchState) -> None:
    """Two epochs on two folds would take too long, on one fold they fit."""
    slow = taking(state, 1500.0)
    shorter = epoch_budget.fitted(slow, FULL)
    assert epochs(shorter) >= 2
    assert shorter is not None
    assert cost_model.folds_for(slow, shorter) == (0,)


def test_on_large_folds_the_first_training_gives_up_its_refit_before_half_of_its_epochs(
    state: SearchState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fold of many images says enough: with the refit three epochs would fit, without it all but the slack."""
    monkeypatch.setattr(policy, "SURE_VALIDATION_IMAGES", state.images // 5)
    slow = taking(state, 450.0)
    asked = epochs(epoch_budget.fitted(slow, FULL))
    assert asked > 8
    assert not cost_model.fits_time(slow, epoch_budget.of_epochs(FULL, asked))
    assert cost_model.fits_time(slow, epoch_budget.of_epochs(FULL, asked), refit=False)


def test_after_that_every_training_keeps_its_refit_back(state: SearchState) -> None:
    """What leads can then be trained on all images, if its own refit fits."""
    slow = taking(after(state, replace(FULL, parameters={"epochs": 9.0}), steps=10), 450.0)
    asked = epochs(epoch_budget.fitted(slow, FULL))
    assert asked < 5
    assert cost_model.fits_time(slow, epoch_budget.of_epochs(FULL, asked))


def test_what_cannot_learn_anything_in_time_is_left_out(state: SearchState) -> None:
    """Less than two epochs of 48 images."""
    assert epoch_budget.fitted(taking(state, 6000.0), FULL) is None


def test_without_a_deadline_nothing_is_shortened(state: SearchState) -> None:
    """Under --trials no decision depends on a speed."""
    endless = replace(taking(state, 1e6), settings=replace(state.settings, budget_s=None), left_s=float("inf"))
    assert epoch_budget.fitted(endless, FULL) == FULL


def test_what_the_end_of_the_best_takes_is_kept_back_while_others_are_tried(state: SearchState) -> None:
    """A cheap candidate may not use up the time that refitting and scoring a dear leader takes."""
    dear = replace(HEAD, strategy="logistic")
    before = cost_model.reserve_s(state, HEAD)
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.9, log_loss=0.1)
    best = Trial(number=1, candidate=dear, regime="feature_extraction", state="complete", scores=(score,), seconds=90.0)
    later = replace(state, trials=(*state.trials, best))
    assert later.best() == best
    assert cost_model.finish_s(later, HEAD) == pytest.approx(before)
    assert cost_model.reserve_s(later, HEAD) == pytest.approx(cost_model.finish_s(later, dear))
    assert cost_model.reserve_s(later, HEAD) > before + 40


def test_the_first_training_of_a_kind_is_timed_and_no_second_one(
    run: SearchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few real steps show the pace; a measured one is not measured again."""
    assert not cost_model.has_pace(run.state(), FULL)
    pace.measure(run, FULL)
    assert cost_model.has_pace(run.state(), FULL)
    assert cost_model.train_s(run.state(), FULL, run.facts.images) > 0
    monkeypatch.setattr(run, "ask", lambda *anything: pytest.fail("asked twice"))
    pace.measure(run, replace(FULL, parameters={"epochs": 3.0}))


def test_without_a_deadline_nothing_is_timed(run: SearchRun) -> None:
    """Under --trials no decision depends on a speed."""
    run.facts = replace(run.facts, settings=replace(run.facts.settings, budget_s=None))
    pace.measure(run, FULL)
    assert not cost_model.has_pace(run.state(), FULL)


def test_a_timing_that_would_take_a_good_part_of_the_time_is_not_taken(run: SearchRun) -> None:
    """Eight steps of a large network may be all that the budget has."""
    run.speeds.passes.learn("pocket", 1.0, 1e6)
    pace.measure(run, FULL)
    assert not cost_model.has_pace(run.state(), FULL)


def test_a_training_that_fails_in_its_first_steps_leaves_that_to_its_trial(run: SearchRun) -> None:
    """The reason belongs into a trial's record; the search goes on."""
    wrong = replace(FULL, parameters={"epochs": 40.0, "optimizer": "sgd", "sgd_rate": 1e30, "clip_norm": 0.0})
    pace.measure(run, wrong)
    assert not cost_model.has_pace(run.state(), wrong)


@pytest.mark.parametrize(
    ("strategy", "timed"), [("full", True), ("gradual", False), ("partial", False), ("ridge", False)]
)
def test_only_steps_that_stand_for_all_others_are_timed(run: SearchRun, strategy: str, timed: bool) -> None:
    """Not a head, not the first of several phases, not a step that fills a cache."""
    parameters = {"epochs": 20.0} if timed else {}
    candidate = Candidate(backbone="pocket", strategy=strategy, parameters=parameters, size_px=64)
    step_time = run.ask(TimeSteps(candidate=candidate, seed=0, warm=1, steps=2), StepTime)
    assert (step_time.step_s > 0) is timed


def test_a_training_that_cannot_fit_is_not_timed(state: SearchState) -> None:
    """Timing takes seconds: not where the shortest form would not fit at half of the guessed pace, and not twice."""
    speeds = budget.MeasuredSpeeds()
    speeds.passes.learn("pocket", 1.0, 20.0)
    guessed = replace(state, speeds=speeds, left_s=1e5)
    assert epoch_budget.steps_to_time(guessed, FULL) == epoch_budget.steps(guessed, FULL)
    least = epoch_budget.shortest(guessed, FULL)
    least_s = cost_model.train_s(guessed, least, guessed.fold_images) / policy.PACE_DOUBT
    end_s = cost_model.reserve_s(guessed, least, refit=False)
    assert epoch_budget.steps_to_time(replace(guessed, left_s=end_s + 0.9 * least_s), FULL) == 0
    assert epoch_budget.steps_to_time(taking(guessed, 1.0), FULL) == 0


def test_the_test_is_passed_once_for_all_that_share_features(state: SearchState) -> None:
    """Heads of one network and size share a pass, a mirrored one adds its other view, a trained one passes on its own."""
    mirrored = replace(HEAD, strategy="logistic", parameters={"mirror": True})
    one_s = cost_model.test_scoring_s(state, [HEAD])
    assert one_s > 0
    assert cost_model.test_scoring_s(state, [HEAD, replace(HEAD, strategy="logistic")]) == one_s
    assert cost_model.test_scoring_s(state, [mirrored, HEAD]) == pytest.approx(2 * one_s)
    assert cost_model.test_scoring_s(state, [mirrored, HEAD, FULL]) == pytest.approx(
        2 * one_s + cost_model.test_scoring_s(state, [FULL])
    )
    state.speeds.observe_decoding(0.5)
    assert cost_model.test_scoring_s(state, [mirrored, HEAD]) == pytest.approx(2 * one_s + 0.5 * state.test_images)
    other = replace(HEAD, size_px=32)
    alone_s = cost_model.test_scoring_s(state, [other]) + cost_model.test_scoring_s(state, [HEAD])
    assert cost_model.test_scoring_s(state, [other, HEAD]) == pytest.approx(alone_s)


def counted(
    state: SearchState, fold_s: float, value: object, declared: tuple[Parameter, ...]
) -> tuple[SearchState, Candidate]:
    """Return a search with a strategy that counts epochs in its own way, and a candidate that takes so long on one fold."""

    class Counting:
        """Full fine-tuning that multiplies its epochs without rounding."""

        name, regime = "counting", "full"
        card = Card(what="Train it all.", when="", parameters=declared)

        def plan(self, parameters: Mapping[str, Any], context: Context) -> TrainPlan:
            passes = {"some": 30}.get(parameters["epochs"], parameters["epochs"])
            assert isinstance(passes, int)
            rates = {stage.name: 1e-3 for stage in context.stages}
            phases = (Phase(rates=rates, head_rate=1e-3),)
            return TrainPlan(phases=phases, steps=passes * context.steps_per_epoch)

    strategies = {**state.registry.strategies, "counting": Counting()}
    candidate = replace(FULL, strategy="counting", parameters={"epochs": value})
    state = replace(state, registry=replace(state.registry, strategies=strategies))
    speeds = budget.MeasuredSpeeds()
    speeds.observe_training("full", "pocket", cost_model.card_s(state, candidate, state.fold_images), fold_s)
    speeds.passes.learn("pocket", 1.0, 1e-6)
    return replace(state, speeds=speeds), candidate


WHOLE = Parameter(name="epochs", default=30, kind="int", low=3, high=100, meaning="passes")
CHOSEN = replace(WHOLE, kind="choice", choices=(30, 10))


@pytest.mark.parametrize("declared", [(WHOLE,), ()])
def test_epochs_that_a_strategy_counts_are_shortened_to_whole_numbers(
    state: SearchState, declared: tuple[Parameter, ...]
) -> None:
    """As its card says, or as its own guess does; else its plan fails on half an epoch, and no rerun takes it."""
    quick, candidate = counted(state, 20.0, 30, declared)
    assert epoch_budget.fitted(quick, candidate) == candidate
    slow, _ = counted(state, 600.0, 30, declared)
    shorter = epoch_budget.fitted(slow, candidate)
    assert shorter is not None
    assert type(shorter.parameters["epochs"]) is int
    assert 3 <= shorter.parameters["epochs"] < 30
    assert epoch_budget.shortest(slow, candidate).parameters["epochs"] >= (3 if declared else 1)


@pytest.mark.parametrize(("value", "declared"), [("some", ()), (30, (CHOSEN,))])
def test_epochs_that_are_words_or_choices_are_left_as_they_are(
    state: SearchState, value: object, declared: tuple[Parameter, ...]
) -> None:
    """Another value would mean nothing to the strategy: what does not fit whole is not trained."""
    slow, candidate = counted(state, 600.0, value, declared)
    assert epoch_budget.fitted(slow, candidate) is None
    assert epoch_budget.shortest(slow, candidate) == candidate
