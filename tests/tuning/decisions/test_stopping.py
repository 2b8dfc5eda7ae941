"""Why a search ended and a regime was not tried, and which network the untuned default takes: numbers that agree."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import searches
from scipy.stats import norm
from searches import FULL, taking

from advisor.records import Candidate, FoldScore, Trial
from advisor.records.messages import Description
from advisor.records.trials import DEFAULT, regime_name
from advisor.tuning import budget, cost_model, epoch_budget, expected_loss, policy
from advisor.tuning.candidates import BackboneAtSize
from advisor.tuning.decisions import portfolio, probe_order, stopping
from advisor.tuning.search_state import SearchState


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchState]:
    """A search on 48 crops whose ridge probe is done; ridge and full fine-tuning are allowed."""
    with searches.on_crops(tmp_path_factory.mktemp("stopping")) as run:
        run.describe(["pocket"])
        strategies = {n: run.facts.registry.strategies[n] for n in ("ridge", "full")}
        state = replace(run.state(), strategies=strategies, sizes={"pocket": (64, 96)}, left_s=400.0)
        yield with_trial(state, Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=64), loss=1.0)


def with_trial(
    state: SearchState, candidate: Candidate, *, loss: float, steps: int = 0, probe: bool = True
) -> SearchState:
    """Add a complete probe or trial."""
    score = FoldScore(fold=0, repeat=0, seed=0, n=10, accuracy=0.5, log_loss=loss)
    number = -1 - len(state.probes) if probe else len(state.trials)
    regime = regime_name(state.strategy_of(candidate).regime)
    trial = Trial(
        number=number, candidate=candidate, regime=regime, state="complete", scores=(score,), steps=steps, seconds=0.1
    )
    if probe:
        return replace(state, probes=(*state.probes, trial))
    return replace(state, trials=(*state.trials, trial), default=state.default or trial)


@pytest.mark.parametrize("fold_s", [3.0, 30.0, 300.0, 3000.0, 30000.0])
@pytest.mark.parametrize("left_s", [20.0, 100.0, 500.0])
def test_what_is_said_not_to_fit_does_not_fit(probed: SearchState, fold_s: float, left_s: float) -> None:
    """`needs_s` exceeds `left_s` exactly where the search finds no length that fits."""
    state = replace(taking(probed, fold_s), left_s=left_s)
    chosen = stopping.prospect(state, FULL)
    fits = cost_model.fits_time(state, FULL) or epoch_budget.shortened(state, FULL) is not None
    assert chosen.fits(state) == fits
    stopped = stopping.explain(state, [FULL], trials_left=math.inf, stale=0)
    (untried,) = stopping.untried(state, stopped)
    assert untried.regime == "full"
    assert untried.needs_s is not None
    if fits:
        assert untried.needs_s <= left_s
    else:
        assert untried.needs_s > left_s
        assert (stopped.reason, f"{left_s:.0f} s were left" in untried.text) == ("time", True)


def test_a_small_expected_gain_is_stated_with_its_probability(probed: SearchState) -> None:
    """Where the best so far is out of reach for what remains, the search stops for want of a gain."""
    state = with_trial(taking(probed, 3.0), replace(FULL, parameters={"epochs": 9.0}), loss=0.05, steps=60, probe=False)
    stopped = stopping.explain(state, [FULL], trials_left=math.inf, stale=0)
    assert stopped.reason == "gain"
    assert stopped.expected_gain is not None
    assert stopped.expected_gain < policy.MIN_IMPROVEMENT
    assert stopped.probability is not None
    assert 0 <= stopped.probability < 0.5
    assert stopping.untried(state, stopped) == ()  # full was tried


def test_trials_and_patience_are_named(probed: SearchState) -> None:
    """A run by --trials ends with its trials; many samples without a gain end a run with time left."""
    asked = replace(probed, settings=replace(probed.settings, trials=3))
    assert stopping.explain(asked, [FULL], trials_left=0, stale=0).text == "all 3 trials were used"
    stale = stopping.explain(probed, [], trials_left=math.inf, stale=policy.PATIENCE_TRIALS)
    assert stale.reason == "patience"


def test_a_training_that_failed_is_not_called_untried(probed: SearchState) -> None:
    """Its error is the reason."""
    failed = Trial(number=0, candidate=FULL, regime="full", state="failed", error="the loss is not finite")
    state = replace(probed, trials=(failed,))
    (untried,) = stopping.untried(state, stopping.explain(state, [], trials_left=0, stale=0))
    assert "the loss is not finite" in untried.text
    assert "was not tried" not in untried.text


@pytest.mark.parametrize(("loss", "spread", "best"), [(0.9, 0.2, 1.0), (1.2, 0.1, 1.0), (0.5, 0.3, 0.5)])
def test_the_probability_of_a_gain_is_the_normal_one(loss: float, spread: float, best: float) -> None:
    """Of a log-normal loss, as the expected improvement takes it."""
    assert expected_loss.probability(loss, spread, best) == pytest.approx(norm.cdf(math.log(best / loss) / spread))


def test_the_default_takes_the_network_with_the_best_probe(probed: SearchState) -> None:
    """Of two sizes the better probe; within two per cent the more accurate one counts, and an unprobed one comes last."""
    pocket = probed.registry.backbone("pocket")
    larger = Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=96)
    free = replace(probed, settings=replace(probed.settings, budget_s=None), left_s=math.inf)
    assert probe_order.default(with_trial(free, larger, loss=0.5), [pocket]).size_px == 96
    assert probe_order.default(with_trial(free, larger, loss=1.5), [pocket]).size_px == 64
    assert probe_order.default(free, [pocket]).origin == DEFAULT


def test_a_requested_regime_is_searched_where_its_probe_is_best_if_shortened_it_fits(probed: SearchState) -> None:
    """Where a whole training takes more than its share, its shortened form still decides for the best network."""
    pocket = probed.registry.backbone("pocket")
    other = Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=96)
    forced = replace(
        with_trial(taking(probed, 150.0), other, loss=1.5),
        settings=replace(probed.settings, regime="full", budget_s=600.0),
        regime=replace(probed.regime, name="full"),
        strategies={"full": probed.registry.strategies["full"]},
    )
    chosen = probe_order.default(forced, [pocket])
    assert (chosen.strategy, chosen.size_px) == ("full", 64)
    assert isinstance(forced.backbones["pocket"], Description)


@pytest.mark.parametrize("beyond_s", [0.02, 0.3, 5.0, 60.0])
def test_a_reason_never_names_two_equal_durations(probed: SearchState, beyond_s: float) -> None:
    """However little time was short, "needs" and "left" differ in the text."""
    state = replace(taking(probed, 300.0), left_s=20.0)
    needs_s = stopping.prospect(state, FULL).needs_s
    state = replace(state, left_s=min(state.left_s, needs_s - beyond_s))
    text = next(
        reason.text for reason in stopping.untried(state, stopping.explain(state, [FULL], trials_left=9, stale=0))
    )
    durations = re.findall(r"(\d[\d.]*) s", text)
    assert len(durations) == 2
    assert durations[0] != durations[1]


@pytest.mark.parametrize("left_s", [6.0, 30.0, 300.0])
def test_what_the_time_left_is_kept_for_adds_up(probed: SearchState, left_s: float) -> None:
    """Where nothing waits, the text names the leaders' time and the end's; it calls the rest free only if there is a rest."""
    state = replace(taking(probed, 3.0), left_s=left_s)
    stopped = stopping.explain(state, [], trials_left=math.inf, stale=0)
    best = state.best()
    assert best is not None
    again_s, end_s = cost_model.rescoring_s(state), cost_model.finish_s(state, best.candidate)
    assert stopped.reason == "time"
    assert f"about {again_s:.0f} s are kept for re-evaluating the leaders and {end_s:.0f} s for the end" in stopped.text
    assert ("into the rest" in stopped.text) == (left_s >= again_s + end_s)


def test_the_leaders_keep_back_what_they_took(probed: SearchState) -> None:
    """Heads are fitted again within seconds, a long training up to its share of the budget."""
    share_s = policy.RESCORING_SHARE * (probed.settings.budget_s or 0.0)
    assert cost_model.rescoring_s(probed) == 2 * cost_model.HEAD_S
    trained = with_trial(probed, FULL, loss=0.5, steps=60, probe=False)
    slow = replace(trained, trials=(replace(trained.trials[0], seconds=1000.0),))
    assert cost_model.rescoring_s(slow) == share_s


def test_the_default_is_one_that_can_be_finished(probed: SearchState) -> None:
    """Where the head on the best probe would not fit with the end of the run, the default is the best one that does."""
    pocket = probed.registry.backbone("pocket")
    larger = Candidate(backbone="pocket", strategy="ridge", parameters={}, size_px=96)
    speeds = budget.MeasuredSpeeds()
    speeds.passes.learn("pocket", 1.0, 1e6)  # passes over the test images are what counts
    state = replace(
        with_trial(probed, larger, loss=0.5),
        strategies={n: probed.registry.strategies[n] for n in ("ridge", "logistic")},
        settings=replace(probed.settings, budget_s=1e9),
        speeds=speeds,
        left_s=1e9,
    )
    assert probe_order.default(state, [pocket]).size_px == 96
    needed_s = {}
    for px in (64, 96):
        (head,) = [g for g in portfolio.first_guesses(state, BackboneAtSize("pocket", px)) if g.strategy == "logistic"]
        needed_s[px] = cost_model.train_s(state, head, state.fold_images) + cost_model.reserve_s(state, head)
    short = replace(state, left_s=(needed_s[64] + needed_s[96]) / 2)
    chosen = probe_order.default(short, [pocket])
    assert (chosen.strategy, chosen.size_px) == ("logistic", 64)
    assert cost_model.fits_time(short, chosen)


def test_a_shared_processor_keeps_back_more_for_the_end(probed: SearchState) -> None:
    """Writing is predicted in absolute seconds: a load that was there from the start counts as much as one that came later."""
    for speeds in (budget.MeasuredSpeeds(slowdown=2.0), budget.MeasuredSpeeds(first_contention=2.0)):
        assert cost_model.writing_s(replace(probed, speeds=speeds)) == 2 * cost_model.writing_s(probed)
