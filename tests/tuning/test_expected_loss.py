"""What a trained candidate may be expected to reach."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.records import Candidate, FoldScore, Trial
from advisor.tuning import expected_loss


def ended(number: int, strategy: str, px: int, log_loss: float, *, steps: int = 0) -> Trial:
    """A finished trial or probe on one network."""
    regime = {"ridge": "feature_extraction", "partial": "partial"}.get(strategy, "full")
    return Trial(
        number=number,
        candidate=Candidate(backbone="net", strategy=strategy, parameters={}, size_px=px),
        regime=regime,
        state="complete",
        scores=(FoldScore(fold=0, repeat=0, seed=0, n=100, accuracy=0.5, log_loss=log_loss),),
        steps=steps,
    )


PROBES = [ended(-1, "ridge", 96, 1.0), ended(-2, "ridge", 96, 0.9), ended(-3, "ridge", 160, 0.6)]


def full(px: int) -> Candidate:
    """A full fine-tune that was not tried."""
    return Candidate(backbone="net", strategy="full", parameters={}, size_px=px)


def test_before_anything_was_trained_the_table_speaks() -> None:
    """The best probe of the place, times the table's lift."""
    assert expected_loss.expected(full(96), "full", 250, PROBES, []) == pytest.approx(0.9 * expected_loss.LIFT["full"])


def test_a_better_probe_promises_more() -> None:
    """Where frozen features tell more, tuned ones are expected to."""
    assert expected_loss.expected(full(160), "full", 250, PROBES, []) < expected_loss.expected(
        full(96), "full", 250, PROBES, []
    )


def test_a_head_is_compared_with_the_probe_of_the_same_layers() -> None:
    """All stages may show what the last one hides, to a head on it as to a training, whose own head starts there."""

    def of(strategy: str, layers: str) -> Candidate:
        return Candidate(backbone="net", strategy=strategy, parameters={"layers": layers}, size_px=96)

    probes = [replace(p, candidate=of("ridge", x)) for p, x in zip(PROBES, ("last", "all"), strict=False)]
    lift = expected_loss.LIFT["logistic"]
    for layers, floor in (("last", 1.0), ("all", 0.9), ("body", 0.9)):
        expected = expected_loss.expected(of("logistic", layers), "feature_extraction", 0, probes, [])
        assert expected == pytest.approx(floor * lift)
    for candidate in (of("full", "last"), full(96)):
        trained = expected_loss.expected(candidate, "full", 250, probes, [])
        assert trained == pytest.approx(1.0 * expected_loss.LIFT["full"])


def test_a_place_that_was_never_probed_promises_nothing() -> None:
    """Nothing is known of it."""
    assert expected_loss.expected(full(224), "full", 250, PROBES, []) == math.inf


def test_what_paid_at_one_size_is_expected_to_pay_at_another() -> None:
    """A full fine-tune that halved the loss at 96 px raises the hopes for 160 px, one that hurt lowers them."""
    plain = expected_loss.expected(full(160), "full", 250, PROBES, [])
    good = expected_loss.expected(full(160), "full", 250, PROBES, [ended(0, "full", 96, 0.4, steps=250)])
    bad = expected_loss.expected(full(160), "full", 250, PROBES, [ended(0, "full", 96, 1.5, steps=250)])
    assert good < plain < bad


def test_heads_say_nothing_about_training() -> None:
    """Only what was trained is a reading of what training does here."""
    assert expected_loss.surprise(full(96), 250, PROBES, [ended(0, "logistic", 96, 0.1)]) == 0.0


def test_a_short_training_shifts_a_long_one_by_what_it_missed_and_no_more() -> None:
    """Ten steps that ended a tenth above their expectation are no sign that 250 end far above theirs."""
    usual = expected_loss.expected(full(96), "full", 10, PROBES, [])
    tenth = ended(0, "full", 96, 1.1 * usual, steps=10)
    plain, shifted = (expected_loss.expected(full(96), "full", 250, PROBES, trials) for trials in ([], [tenth]))
    assert plain < shifted < 1.1 * plain


def test_a_loss_beyond_the_usual_length_gains_more_slowly() -> None:
    """Proportional to a power of the steps that is smaller above the table's length, and continuous there."""
    below, at, above = (expected_loss.length(int(f * expected_loss.USUAL_STEPS)) for f in (0.5, 1.0, 2.0))
    assert at == 1.0
    assert at / below == pytest.approx(2.0**expected_loss.SHORT_POWER)
    assert above / at == pytest.approx(2.0**expected_loss.LENGTH_POWER)


def test_a_head_that_gained_less_is_expected_to_gain_less_elsewhere() -> None:
    """Its own strategy says so on another network; another head or a training says nothing of it."""

    def logistic(name: str) -> Candidate:
        return Candidate(backbone=name, strategy="logistic", parameters={}, size_px=96)

    probes = [*PROBES, replace(PROBES[0], candidate=replace(PROBES[0].candidate, backbone="other"))]
    plain, same, unlike, trained = (
        expected_loss.expected(logistic("other"), "feature_extraction", 0, probes, trials)
        for trials in (
            [],
            [ended(0, "logistic", 96, 0.9)],
            [ended(0, "knn", 96, 0.9)],
            [ended(0, "full", 96, 2.0, steps=250)],
        )
    )
    assert plain < same
    assert unlike == trained == plain


@given(steps=st.integers(1, 249))
def test_less_time_promises_less(steps: int) -> None:
    """Between the probe and the whole training, and monotone."""
    whole, part = (expected_loss.expected(full(96), "full", n, PROBES, []) for n in (250, steps))
    assert whole < part < 0.9


def test_a_reading_is_taken_for_its_length() -> None:
    """What a short training reached is no disappointment where a short one was expected to reach no more."""
    floor, lift = 0.9, math.log(expected_loss.LIFT["full"])
    short = ended(0, "full", 96, floor * math.exp(lift * expected_loss.length(50)), steps=50)
    assert expected_loss.surprise(full(96), 250, PROBES, [short]) == pytest.approx(0.0, abs=1e-12)


def test_another_network_tells_half_as_much() -> None:
    """A disappointment on one network lowers the hopes for another less than for itself."""
    elsewhere = replace(ended(0, "full", 96, 1.5, steps=250), candidate=replace(full(96), backbone="other"))
    probes = [*PROBES, replace(PROBES[1], candidate=replace(PROBES[1].candidate, backbone="other"))]
    own = expected_loss.expected(full(160), "full", 250, probes, [ended(0, "full", 96, 1.5, steps=250)])
    assert expected_loss.expected(full(160), "full", 250, probes, [elsewhere]) < own


def test_a_network_that_learned_less_before_is_expected_to_gain_less() -> None:
    """The same probe on a more accurate network promises more; one without a published accuracy is none of the best."""
    by_accuracy = [
        expected_loss.expected(full(96), "full", 250, PROBES, [], {"net": a}) for a in (0.8, 0.72, 0.6, None)
    ]
    assert by_accuracy == sorted(by_accuracy)
    assert by_accuracy[1] == pytest.approx(0.9 * expected_loss.LIFT["full"])


@given(
    log_loss=st.floats(0.05, 3.0), spread=st.floats(0.01, 0.5), best=st.floats(0.05, 3.0), seed=st.integers(0, 2**16)
)
def test_the_expected_improvement_is_the_mean_of_what_draws_improve(
    log_loss: float, spread: float, best: float, seed: int
) -> None:
    """Against sampling: the log-loss is lognormal around its expectation, and what is worse than the best counts nothing."""
    draws = np.random.default_rng(seed).normal(math.log(log_loss), spread, 20_000)
    gains = np.maximum(0.0, math.log(best) - draws)
    gain = expected_loss.improvement(log_loss, spread, best)
    assert gain == pytest.approx(gains.mean(), abs=6 * gains.std() / math.sqrt(len(draws)) + 1e-3)


def test_of_two_equal_hopes_the_wilder_one_promises_more() -> None:
    """A longer training may reach more than it is expected to; a hope that was never probed is none."""
    assert expected_loss.improvement(0.5, 0.3, 0.4) > expected_loss.improvement(0.5, 0.1, 0.4)
    seen = [ended(0, "full", 96, 0.8, steps=9)]
    assert expected_loss.spread(250, []) == expected_loss.spread(50, []) > expected_loss.spread(50, seen)
    assert expected_loss.spread(50, seen * 99) > expected_loss.OWN_SPREAD > expected_loss.spread(0, [])
    assert expected_loss.improvement(math.inf, 0.3, 0.4) == 0.0
