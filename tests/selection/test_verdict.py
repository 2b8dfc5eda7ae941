"""Who wins, who ties, and when the default stays."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.records import Candidate, Trial
from advisor.selection import verdict

N = 300
HARD = np.random.default_rng(0).gamma(1.0, size=N)  # what is hard for one contender is hard for all


def _trial(number: int, state: str = "complete") -> Trial:
    candidate = Candidate(backbone="b", strategy="s", parameters={})
    return Trial(number=number, candidate=candidate, regime="partial", state=state)


def _losses(better: float, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Give losses whose mean is exactly `better` below that of HARD."""
    drawn = np.random.default_rng(seed).normal(size=N)
    return HARD - better + noise * (drawn - drawn.mean())


def test_a_clear_winner_wins() -> None:
    """A contender that is better beyond noise wins, dear as it is, and the reason says so."""
    decision = verdict.judge(
        [_trial(0), _trial(1)], {0: _losses(0.0, seed=1), 1: _losses(0.2, seed=2)}, 0, {0: 1.0, 1: 900.0}
    )
    assert (decision.winner, decision.ties, decision.kept_default) == (1, (), False)
    assert "trial 1 has the lowest validation log-loss" in decision.reason
    assert "300 images" in decision.reason
    assert decision.reason.endswith("significantly ahead of all others")


def test_the_default_is_kept_where_the_gain_is_noise() -> None:
    """A contender that only seems better does not replace the default, and is listed as a tie."""
    decision = verdict.judge(
        [_trial(0), _trial(5)],
        {0: _losses(0.0, seed=1), 5: _losses(0.01, seed=2)},
        0,
        {0: 9.0, 5: 1.0},
    )
    assert (decision.winner, decision.ties, decision.kept_default) == (0, (5,), True)
    assert "the default is kept" in decision.reason


def test_the_default_that_leads_is_kept() -> None:
    """Where the default has the lowest loss, the reason says that it leads."""
    decision = verdict.judge([_trial(0), _trial(1)], {0: _losses(0.3, seed=1), 1: _losses(0.0, seed=2)}, 0, {})
    assert (decision.winner, decision.kept_default) == (0, True)
    assert "it is the untuned default" in decision.reason


def test_without_a_default_nothing_is_protected() -> None:
    """Where the untuned default has no result, the oldest trial does not take its place; equal cost, the leader wins."""
    losses = {3: _losses(0.0, seed=1), 5: _losses(0.01, seed=2)}
    decision = verdict.judge([_trial(3), _trial(5)], losses, None, {3: 1.0, 5: 1.0})
    assert (decision.winner, decision.default, decision.kept_default) == (5, None, False)
    assert "default" not in decision.reason


def test_the_cheapest_of_the_ties_wins() -> None:
    """Among contenders that cannot be told apart, all clearly better than the default, the cheapest is recommended."""
    predictions = {
        0: _losses(0.0, seed=1),
        1: _losses(0.30, seed=2),
        2: _losses(0.302, seed=3),
        3: _losses(0.298, seed=4),
    }
    decision = verdict.judge([_trial(n) for n in range(4)], predictions, 0, {0: 1.0, 1: 30.0, 2: 60.0, 3: 20.0})
    assert decision.winner == 3
    assert set(decision.ties) == {1, 2}
    assert not decision.kept_default
    assert "trial 3 is the cheapest" in decision.reason


def test_what_was_promised_settles_a_tie_as_one_more_fold() -> None:
    """Nothing is shown by 300 images: what such a training brought elsewhere speaks for it, if the images do not object."""
    predictions = {0: _losses(0.0, seed=1), 1: _losses(0.30, seed=2), 2: _losses(0.30, seed=3)}
    trials, costs, level = [_trial(n) for n in range(3)], {0: 1.0, 1: 1.0, 2: 2.0}, float(HARD.mean() - 0.30)
    assert verdict.judge(trials, predictions, 0, costs).winner == 1
    decision = verdict.judge(trials, predictions, 0, costs, expected={2: (level - 0.1, 2)})
    assert (decision.winner, decision.ties, decision.by_promise) == (2, (1,), True)
    assert "of these, trial 2 has the lowest log-loss" in decision.reason
    assert verdict.judge(trials, predictions, 0, costs, expected={2: (level - 0.1, 20)}).winner == 1
    assert verdict.judge(trials, predictions, 0, costs, expected={2: (level + 0.1, 2)}).winner == 1
    assert verdict.judge(trials, predictions, 0, costs, expected={2: (float("inf"), 2)}).winner == 1


@pytest.mark.parametrize(("scored", "whole", "winner"), [(28, 70, 1), (70, 70, 2), (100, 300, 2), (99, 300, 1)])
def test_a_promise_needs_images(scored: int, whole: int, winner: int) -> None:
    """A training that was scored on a few of the images does not win by what was expected of it; on enough, it does."""
    predictions = {0: _losses(0.0, seed=1), 1: _losses(0.30, seed=2), 2: _losses(0.30, seed=2)}
    predictions = {n: np.where(np.arange(N) < whole, losses, np.nan) for n, losses in predictions.items()}
    predictions[2] = np.where(np.arange(N) < scored, predictions[2], np.nan)
    trials, costs = [_trial(n) for n in range(3)], {0: 1.0, 1: 1.0, 2: 2.0}
    assert verdict.judge(trials, predictions, 0, costs, expected={2: (0.1, 2)}).winner == winner


def test_a_promise_does_not_overrule_what_the_images_show() -> None:
    """A cheap contender that is better beyond noise wins, whatever was expected of the other one."""
    predictions = {0: _losses(0.0, seed=1), 1: _losses(0.4, seed=2), 2: _losses(0.2, seed=3)}
    decision = verdict.judge(
        [_trial(n) for n in range(3)], predictions, 0, {0: 1.0, 1: 1.0, 2: 2.0}, expected={2: (0.01, 1)}
    )
    assert (decision.winner, decision.ties) == (1, ())


def test_a_promise_does_not_make_up_for_more_errors() -> None:
    """As low a log-loss and more mistakes than chance explains: the cheap one stays."""
    predictions = {0: _losses(0.0, seed=1), 1: _losses(0.30, seed=2), 2: _losses(0.30, seed=3)}
    trials, costs, expected = [_trial(n) for n in range(3)], {0: 1.0, 1: 1.0, 2: 2.0}, {2: (0.1, 1)}
    errors = {0: np.ones(N), 1: (np.arange(N) % 10 == 0).astype(float), 2: (np.arange(N) % 9 < 2).astype(float)}
    assert verdict.judge(trials, predictions, 0, costs, expected=expected).winner == 2
    assert verdict.judge(trials, predictions, 0, costs, expected=expected, errors=errors).winner == 1


def test_a_dearer_tie_must_be_ahead_of_every_cheaper_one() -> None:
    """Being ahead of the cheap one that is most often right is not enough where another cheap one has as low a log-loss."""
    predictions = {n: _losses(b, seed=n + 1) for n, b in {0: 0.0, 1: 0.30, 2: 0.315, 3: 0.316}.items()}
    errors = {n: np.full(N, e) for n, e in {0: 0.5, 1: 0.1, 2: 0.2, 3: 0.1}.items()}
    costs = {0: 1.0, 1: 1.0, 2: 1.0, 3: 2.0}
    assert verdict.judge([_trial(n) for n in range(4)], predictions, 0, costs, errors=errors).winner == 1
    del predictions[2], errors[2], costs[2]
    assert verdict.judge([_trial(n) for n in (0, 1, 3)], predictions, 0, costs, errors=errors).winner == 3


def test_a_missing_cost_is_dear() -> None:
    """A tie whose cost is unknown is not taken for cheap."""
    predictions = {0: _losses(0.0, seed=1), 1: _losses(0.3, seed=2), 2: _losses(0.3, seed=3)}
    assert verdict.judge([_trial(n) for n in range(3)], predictions, 0, {1: 5.0}).winner == 1


def test_only_shared_images_are_compared() -> None:
    """A contender that was scored on the easy half only does not profit from it."""
    easy = np.argsort(HARD)[: N // 2]
    partial = np.full(N, np.nan)
    partial[easy] = _losses(-0.3, seed=2)[easy]
    decision = verdict.judge([_trial(0), _trial(1)], {0: _losses(0.0, seed=1), 1: partial}, 0, {})
    assert decision.winner == 0
    assert decision.ties == ()


def test_too_few_shared_images_show_nothing() -> None:
    """Contenders that share at most one image cannot be told apart."""
    a, b = np.full(4, np.nan), np.full(4, np.nan)
    a[:2], b[2:] = 0.1, 5.0
    assert verdict.judge([_trial(0), _trial(1)], {0: b, 1: a}, 0, {}).kept_default


def test_failed_and_unscored_trials_do_not_count() -> None:
    """Trials that failed, were pruned or have no predictions are no contenders."""
    trials = [_trial(0), _trial(1, "failed"), _trial(2, "pruned"), _trial(3)]
    predictions = {n: _losses(0.1 * n) for n in range(3)}
    decision = verdict.judge(trials, predictions, 0, {})
    assert (decision.winner, decision.ties) == (0, ())


def test_a_default_that_failed_is_not_kept() -> None:
    """Where the default itself has no score, the best of the others wins."""
    decision = verdict.judge([_trial(0, "failed"), _trial(1)], {1: _losses(0.0)}, 0, {})
    assert (decision.winner, decision.default, decision.kept_default) == (1, 0, False)


def test_nothing_to_judge_is_an_error() -> None:
    """No scored trial, or scores of different images, is an error in one line."""
    with pytest.raises(ValueError, match="nothing to judge"):
        verdict.judge([_trial(0)], {0: np.full(3, np.nan)}, 0, {})
    with pytest.raises(ValueError, match="different lengths"):
        verdict.judge([_trial(0), _trial(1)], {0: np.zeros(3), 1: np.zeros(4)}, 0, {})


def test_groups_make_a_verdict_more_careful() -> None:
    """Ten copies of few images are no more evidence than the few images."""
    few = np.random.default_rng(9).normal(loc=0.2, scale=0.6, size=12)
    a, b = np.repeat(few, 20), np.zeros(240)
    trials = [_trial(0), _trial(1)]
    assert not verdict.judge(trials, {0: a, 1: b}, 0, {}).kept_default
    assert verdict.judge(trials, {0: a, 1: b}, 0, {}, groups=np.repeat(np.arange(12), 20)).kept_default


def test_the_verdict_does_not_depend_on_the_order() -> None:
    """Trials in any order give the same verdict."""
    predictions = {n: _losses(0.01 * n, seed=n) for n in range(6)}
    trials = [_trial(n) for n in range(6)]
    assert verdict.judge(trials, predictions, 0, {}) == verdict.judge(trials[::-1], predictions, 0, {})


def test_a_contender_that_was_scored_on_hard_images_alone_is_not_taken_for_worse() -> None:
    """Its mean is higher than anybody's, but it is better on the very images that both were scored on."""
    hard = np.argsort(-HARD)[: N // 5]
    few = np.full(N, np.nan)
    few[hard] = _losses(0.4, noise=0.1, seed=2)[hard]
    rest = _losses(0.1, noise=0.1, seed=3)
    decision = verdict.judge([_trial(0), _trial(1), _trial(2)], {0: _losses(0.0, seed=1), 1: few, 2: rest}, 0, {1: 9.0})
    assert np.nanmean(few) > rest.mean()
    assert (decision.winner, decision.ties) == (1, ())


def test_a_default_that_is_wrong_more_often_beyond_noise_is_not_kept() -> None:
    """A few sure mistakes can hide in the log-loss what the share of right answers shows."""
    draw = np.random.default_rng(5)
    losses = {0: _losses(0.0, noise=2.0, seed=1), 1: _losses(0.05, noise=2.0, seed=2)}
    hard = draw.random(N) < 0.15
    errors = {0: (hard | (draw.random(N) < 0.06)).astype(float), 1: hard.astype(float)}
    trials = [_trial(0), _trial(1)]
    assert verdict.judge(trials, losses, 0, {}).kept_default
    decision = verdict.judge(trials, losses, 0, {}, errors=errors)
    assert (decision.winner, decision.ties, decision.kept_default) == (1, (), False)
    assert decision.reason.endswith("is significantly more accurate than the untuned default (trial 0)")
    even = {0: errors[1], 1: errors[1]}
    assert verdict.judge(trials, losses, 0, {}, errors=even).kept_default


def test_among_equally_cheap_ties_the_one_that_is_most_often_right_wins() -> None:
    """Cost comes first; only what costs the same is told apart by its accuracy."""
    losses = {0: _losses(0.0, seed=1), 1: _losses(0.5, seed=2), 2: _losses(0.49, seed=3), 3: _losses(0.49, seed=4)}
    errors = {n: np.repeat([1.0, 0.0], [wrong, N - wrong]) for n, wrong in enumerate((90, 60, 50, 20))}
    trials = [_trial(n) for n in range(4)]
    assert verdict.judge(trials, losses, 0, {1: 1.0, 2: 1.0, 3: 2.0}, errors=errors).winner == 2
    assert verdict.judge(trials, losses, 0, {1: 1.0, 2: 1.0, 3: 1.0}, errors=errors).winner == 3
    assert verdict.judge(trials, losses, 0, {1: 1.0, 2: 1.0, 3: 1.0}).winner == 1


def test_a_leader_on_few_images_does_not_shield_the_default() -> None:
    """It ties with the default for want of images; a head that beats the default on all of them is chosen all the same."""
    few = np.full(N, np.nan)
    few[:12] = (_losses(0.5, noise=3.0, seed=3))[:12]
    head, default = _losses(0.1, seed=2), _losses(0.0, seed=1)
    few[:12] += (head[:12] - few[:12]).mean() - 0.01  # ahead of the head by a little on twelve images
    trials = [_trial(n) for n in (0, 1, 2)]
    decision = verdict.judge(trials, {0: default, 1: head, 2: few}, 0, {0: 0.0, 1: 0.0, 2: 2.0})
    assert "trial 2 has the lowest validation log-loss" in decision.reason
    assert (decision.winner, decision.kept_default) == (1, False)
    no_head = verdict.judge([_trial(0), _trial(2)], {0: default, 2: few}, 0, {0: 0.0, 2: 2.0})
    assert no_head.kept_default
