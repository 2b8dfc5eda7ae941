"""Trials -> Verdict: the winner on validation, the trials statistically tied with it, and whether the default is kept.

Contenders are compared in pairs on the images that both were scored on. A contender ties with the leader (lowest log-loss)
if the interval of the mean paired difference contains zero: one standard error to either side, for the untuned default the
80 % interval. Among the ties the cheapest wins, unless a more expensive one has a lower log-loss once the expectation from
training runs on other data is averaged in as an extra fold, is not wrong significantly more often (80 %), and was scored on
enough images. Among equally cheap ties the most accurate wins. The default is kept if it ties, unless a contender scored on
all of its images is significantly better, or the choice is significantly more accurate: in about a tenth of published
searches the tuned configuration is worse on the test set than the default (arXiv:2506.19540). Pure; `evidence` reads the
predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.aliases import Floats
from advisor.metrics import intervals
from advisor.metrics.intervals import paired_p
from advisor.records import Trial, Verdict

__all__ = ["LEVEL", "judge", "paired_p"]

# Levels of the interval of the difference. The untuned default was fixed before the first trial, the leader is the
# best of many: at most one in ten equally good leaders may count as better. Between tried candidates the interval is one
# standard error to either side, as Breiman et al. 1984 keep the simplest model within one standard error of the best.
LEVEL, TIES_LEVEL = 0.80, 0.68
# The log-loss detects small gains on few images, the accuracy on many images where a head makes confident mistakes.
# On heads (docs/advice.md, "What does keeping the default cost?") using both detected more real gains at no loss.
ACCURACY_LEVEL = 0.95
# Relative log-loss by which a more expensive tie must be ahead of all cheaper ones to be worth its training time.
WORTH = 0.01
# Images on which a more expensive tie must be scored to win by its expectation, or on as many as any other tie (chosen): of 70
# photos, a training run that was scored on 28 won so, and was behind the heads on the test.
SURE_IMAGES = 100
_SHOWN = 6  # ties listed in the reason
LOSS = "<loss>"  # stands for the name of the loss in a reason

Interval = Callable[..., tuple[float, float]]  # `_difference` of two contenders, over this verdict's groups and seed


def judge(
    trials: Sequence[Trial],
    predictions: Mapping[int, Floats],
    default: int | None,
    costs: Mapping[int, float],
    *,
    errors: Mapping[int, Floats] | None = None,
    expected: Mapping[int, tuple[float, int]] | None = None,
    level: float = LEVEL,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
    loss_name: str = "log-loss",
) -> Verdict:
    """Choose among the complete trials that have predictions.

    `predictions[number]` is the loss of each validation image, named `loss_name`, nan if it was not scored; all have the
    same length and order. `errors[number]` is its error rate per image (0 to 1); without it the log-loss alone decides.
    `costs` are compared only; a missing one counts as infinite. `expected[number]` is the log-loss expected of a trained
    contender before it was tried, with the number of folds that it was scored on. `groups` assigns images to groups that
    are resampled together, `level` is the default's. Without a `default`, nothing is protected. Raises ValueError if there is
    nothing to judge.
    """
    scored = {
        t.number: np.asarray(predictions[t.number], dtype=np.float64)
        for t in trials
        if t.state == "complete" and t.number in predictions and not np.all(np.isnan(predictions[t.number]))
    }
    if not scored:
        raise ValueError("no complete trial has predictions: there is nothing to judge")
    if len({len(s) for s in scored.values()}) > 1:
        raise ValueError("predictions of different lengths cannot be compared: they are not of the same images")
    means = _comparable_means(scored)
    wrong = {n: np.asarray(errors[n], dtype=np.float64) for n in scored} if errors else scored
    rates = _comparable_means(wrong)
    leader = min(scored, key=lambda number: (means[number], number))
    interval = partial(_difference, groups=groups, seed=seed)
    tied = _list_ties(leader, default, scored, means, level, interval)
    expected_means = {n: _with_expectation(means[n], expected.get(n) if expected else None) for n in tied}

    def is_worse(dearer: int, cheaper: int) -> bool:
        return interval(wrong[dearer], wrong[cheaper], level=level)[0] > 0.0

    able = _scored_enough([n for n in tied if n != default] or tied, scored, costs)
    chosen, cheapest = _among_ties(able, expected_means, rates, costs, is_worse)
    keeps_default = default in tied
    if default is not None and keeps_default and errors and chosen != default:
        keeps_default = interval(wrong[default], wrong[chosen], level=ACCURACY_LEVEL)[0] <= 0.0
    winner = default if default is not None and keeps_default else chosen
    return Verdict(
        winner=winner,
        default=default,
        ties=tuple(n for n in tied if n != winner and (keeps_default or n != default)),
        kept_default=keeps_default,
        by_promise=not keeps_default and chosen != cheapest and len(tied) > 1,
        reason=_reason(winner, leader, default, cheapest, tied, scored, means).replace(LOSS, loss_name),
    )


def _list_ties(
    leader: int,
    default: int | None,
    scored: Mapping[int, Floats],
    means: Mapping[int, float],
    level: float,
    interval: Interval,
) -> list[int]:
    """Return the leader and the contenders that are statistically tied with it, best first."""
    tied = [leader]
    for number in sorted(scored, key=lambda n: (means[n], n)):
        own_level = level if number == default else min(level, TIES_LEVEL)
        low, high = interval(scored[number], scored[leader], level=own_level)
        if number != leader and low <= 0.0 <= high:
            tied.append(number)
    if default is not None and default in tied[1:] and _is_beaten(default, scored, means, level, interval):
        tied.remove(default)
    return tied


def _is_beaten(
    default: int, scored: Mapping[int, Floats], means: Mapping[int, float], level: float, interval: Interval
) -> bool:
    """Return True if the best contender scored on all of the default's images is significantly better than it.

    A leader that was scored on few images ties with nearly everything: it must not protect the default from a head that
    is better on all of them.
    """
    needed = ~np.isnan(scored[default])
    peers = [n for n, losses in scored.items() if n != default and not np.isnan(losses[needed]).any()]
    if not peers:
        return False
    rival = min(peers, key=lambda n: (means[n], n))
    return interval(scored[default], scored[rival], level=level)[0] > 0.0


def _scored_enough(tied: Sequence[int], scored: Mapping[int, Floats], costs: Mapping[int, float]) -> list[int]:
    """List the cheapest ties, and of the others those that were scored on `SURE_IMAGES`, or on as many as any other tie."""
    covered = {n: int((~np.isnan(scored[n])).sum()) for n in tied}
    enough = min(SURE_IMAGES, max(covered.values()))
    cheapest = min(costs.get(n, float("inf")) for n in tied)
    return [n for n in tied if costs.get(n, float("inf")) == cheapest or covered[n] >= enough]


def _with_expectation(mean: float, expected: tuple[float, int] | None) -> float:
    """Return the mean log-loss with the expected log-loss counted as one more fold."""
    if expected is None or not np.isfinite(expected[0]):
        return mean
    log_loss, folds = expected
    return (folds * mean + log_loss) / (folds + 1)


def _among_ties(
    tied: Sequence[int],
    expected_means: Mapping[int, float],
    rates: Mapping[int, float],
    costs: Mapping[int, float],
    is_worse: Callable[[int, int], bool],
) -> tuple[int, int]:
    """Return the choice among ties, and the cheapest one: the most accurate of the cheapest kind, or of a better dearer kind.

    A more expensive one for which `is_worse` holds (significantly more errors than the choice so far) is not chosen.
    """
    kinds: dict[float, list[int]] = {}
    for number in tied:
        kinds.setdefault(costs.get(number, float("inf")), []).append(number)
    best = [min(kind, key=lambda n: (rates[n], expected_means[n], n)) for _, kind in sorted(kinds.items())]
    lowest = [min(expected_means[n] for n in kind) for _, kind in sorted(kinds.items())]
    chosen = 0
    for position in range(1, len(best)):
        ahead = lowest[position] < (1 - WORTH) * min(lowest[:position])
        if ahead and not is_worse(best[position], best[chosen]):
            chosen = position
    return best[chosen], best[0]


def _comparable_means(scored: Mapping[int, Floats]) -> dict[int, float]:
    """Estimate each contender's mean loss on the images of the contender that was scored on most.

    A contender scored on fewer images gets that one's mean plus their mean difference on the shared images, so that a
    difficult fold is no disadvantage (the difference estimator of survey sampling, Cochran 1977, 7.1).
    """
    covered = {number: int((~np.isnan(s)).sum()) for number, s in scored.items()}
    reference = min(scored, key=lambda n: (-covered[n], float(np.nanmean(scored[n])), n))
    theirs = scored[reference]
    means = {}
    for number, losses in scored.items():
        both = ~np.isnan(losses) & ~np.isnan(theirs)
        if both.sum() > 1:
            means[number] = float(np.nanmean(theirs) + np.mean(losses[both] - theirs[both]))
        else:
            means[number] = float(np.nanmean(losses))
    return means


def _difference(a: Floats, b: Floats, *, level: float, groups: NDArray[Any] | None, seed: int) -> tuple[float, float]:
    """Return the interval of mean(a) - mean(b) on the shared images; infinite if there are fewer than two."""
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < 2:
        return float("-inf"), float("inf")
    members = None if groups is None else np.asarray(groups)[both]
    return intervals.paired_bootstrap(a[both], b[both], level=level, groups=members, seed=seed)


def _reason(
    winner: int,
    leader: int,
    default: int | None,
    cheapest: int,
    tied: Sequence[int],
    scored: Mapping[int, Floats],
    means: Mapping[int, float],
) -> str:
    n = int((~np.isnan(scored[leader])).sum())
    best = f"trial {leader} has the lowest validation {LOSS} ({means[leader]:.3f} on {n} images)"
    if leader == winner == default:
        return f"{best}; it is the untuned default"
    if winner == default:
        against = f"the untuned default (trial {default}, {means[default]:.3f})"
        return f"{best}, but is not significantly better than {against}: the default is kept"
    others = [t for t in tied if t not in (leader, default)]
    over = f"is significantly more accurate than the untuned default (trial {default})" if default in tied else ""
    if not others:
        return f"{best}, and {over}" if over else f"{best}, significantly ahead of all others"
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    named = ", ".join(str(t) for t in others[:_SHOWN]) + more
    plural = "trials" if len(others) > 1 else "trial"
    tie = f"{best}; statistically tied with {plural} {named} (interval of the paired difference)"
    why = (
        "is the cheapest"
        if winner == cheapest
        else f"has the lowest {LOSS} once the expectation from other data is averaged in as an extra fold"
    )
    return f"{tie}; of these, trial {winner} {why}{', and ' + over if over else ''}"
