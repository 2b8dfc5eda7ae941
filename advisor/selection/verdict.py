"""Trials -> Verdict: who won on validation, who cannot be told apart from the winner, and whether the default is kept.

Contenders are compared in pairs, on the images that both were scored on. A contender ties with the one of the lowest
log-loss where the interval of the mean difference holds zero: one standard error to either side, and for the untuned
default the 80 % interval. Of the ties the cheapest would win, unless a dearer one has the lower log-loss once what such a
training brought on other data counts as one more fold, and is not wrong more often beyond noise (80 %); among equally
cheap ones the one that is most often right. The default is kept if it ties, unless one that was scored on all of its images
beats it beyond noise, or the choice is right more often beyond noise: what does not beat it is no gain (in about a tenth of
published searches the tuned choice is worse on test than the default, arXiv:2506.19540). Pure; `judging` reads predictions.
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

# Of the interval of the difference. The untuned default was fixed before anything was measured, the leader is the best of
# many: only one in ten equal leaders may be taken for better. Among those that were chosen alike, one standard error to
# either side decides, as Breiman et al. 1984 keep the simplest of what is within one of the best.
LEVEL, TIES_LEVEL = 0.80, 0.68
# The log-loss sees small gains where images are few, the accuracy where they are many and a head is sure of its mistakes.
# On heads (docs/advice.md, "What does keeping the default cost?") asking both found more of what was there at no loss.
ACCURACY_LEVEL = 0.95
# Of the log-loss, by which a dearer tie must be ahead of all cheaper ones: less is not worth its training.
WORTH = 0.01
_SHOWN = 6  # ties that the reason names

Apart = Callable[..., tuple[float, float]]  # `_difference` of two contenders, over this verdict's groups and seed


def judge(
    trials: Sequence[Trial],
    predictions: Mapping[int, Floats],
    default: int,
    costs: Mapping[int, float],
    *,
    errors: Mapping[int, Floats] | None = None,
    promised: Mapping[int, tuple[float, int]] | None = None,
    level: float = LEVEL,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
) -> Verdict:
    """Decide among the complete trials that have predictions.

    `predictions[number]` is the log-loss of each validation image, nan where the trial was not scored on it; all have
    the same length and order. `errors` likewise says how often it was wrong (0 to 1); without them the log-loss alone
    decides. `costs` is anything to be kept small; a missing one counts as infinite. `promised` gives what was expected of a
    trained contender before it was tried, as a log-loss, and on how many folds it was scored since. `groups` names images
    that belong together, `level` is the default's. Raises ValueError where there is nothing to judge.
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
    apart = partial(_difference, groups=groups, seed=seed)
    tied = _tied(leader, default, scored, means, level, apart)
    hoped = {n: _with_promise(means[n], promised.get(n) if promised else None) for n in tied}

    def worse(dearer: int, cheaper: int) -> bool:
        return apart(wrong[dearer], wrong[cheaper], level=level)[0] > 0.0

    chosen, cheapest = _among_ties([n for n in tied if n != default] or tied, hoped, rates, costs, worse)
    kept = default in tied
    if kept and errors and chosen != default:
        kept = apart(wrong[default], wrong[chosen], level=ACCURACY_LEVEL)[0] <= 0.0
    winner = default if kept else chosen
    return Verdict(
        winner=winner,
        default=default,
        ties=tuple(n for n in tied if n != winner and (kept or n != default)),
        kept_default=kept,
        by_promise=not kept and chosen != cheapest and len(tied) > 1,
        reason=_reason(winner, leader, default, cheapest, tied, scored, means),
    )


def _tied(
    leader: int, default: int, scored: Mapping[int, Floats], means: Mapping[int, float], level: float, apart: Apart
) -> list[int]:
    """List the leader and those that cannot be told from it, best first."""
    tied = [leader]
    for number in sorted(scored, key=lambda n: (means[n], n)):
        wanted = level if number == default else min(level, TIES_LEVEL)
        low, high = apart(scored[number], scored[leader], level=wanted)
        if number != leader and low <= 0.0 <= high:
            tied.append(number)
    if default in tied[1:] and _is_beaten(default, scored, means, level, apart):
        tied.remove(default)
    return tied


def _is_beaten(
    default: int, scored: Mapping[int, Floats], means: Mapping[int, float], level: float, apart: Apart
) -> bool:
    """Whether the best of those that were scored on all of the default's images is ahead of it beyond noise.

    A leader that was scored on a few images ties with nearly everything: it must not shield the default from a head that
    was seen to be better on all of them.
    """
    needed = ~np.isnan(scored[default])
    peers = [n for n, own in scored.items() if n != default and not np.isnan(own[needed]).any()]
    if not peers:
        return False
    rival = min(peers, key=lambda n: (means[n], n))
    return apart(scored[default], scored[rival], level=level)[0] > 0.0


def _with_promise(mean: float, promised: tuple[float, int] | None) -> float:
    """Give a mean log-loss with what was promised as the reading of one more fold."""
    if promised is None or not np.isfinite(promised[0]):
        return mean
    expected, folds = promised
    return (folds * mean + expected) / (folds + 1)


def _among_ties(
    tied: Sequence[int],
    hoped: Mapping[int, float],
    rates: Mapping[int, float],
    costs: Mapping[int, float],
    worse: Callable[[int, int], bool],
) -> tuple[int, int]:
    """Choose among ties: of the cheapest kind what is most often right, or of a dearer kind that is the better bet.

    A dearer one that is `worse` than the choice so far, wrong more often beyond noise, is none. Give the choice, and the
    cheapest.
    """
    kinds: dict[float, list[int]] = {}
    for number in tied:
        kinds.setdefault(costs.get(number, float("inf")), []).append(number)
    best = [min(kind, key=lambda n: (rates[n], hoped[n], n)) for _, kind in sorted(kinds.items())]
    lowest = [min(hoped[n] for n in kind) for _, kind in sorted(kinds.items())]
    chosen = 0
    for position in range(1, len(best)):
        ahead = lowest[position] < (1 - WORTH) * min(lowest[:position])
        if ahead and not worse(best[position], best[chosen]):
            chosen = position
    return best[chosen], best[0]


def _comparable_means(scored: Mapping[int, Floats]) -> dict[int, float]:
    """Give each contender's mean loss as if it had been scored on the images of the one that was scored on most.

    What was scored on fewer stands as far from that one as it does on the images that both share: a fold that happens
    to be hard makes nobody worse (the difference estimator of survey sampling, Cochran 1977, 7.1).
    """
    covered = {number: int((~np.isnan(s)).sum()) for number, s in scored.items()}
    reference = min(scored, key=lambda n: (-covered[n], float(np.nanmean(scored[n])), n))
    theirs = scored[reference]
    means = {}
    for number, own in scored.items():
        both = ~np.isnan(own) & ~np.isnan(theirs)
        if both.sum() > 1:
            means[number] = float(np.nanmean(theirs) + np.mean(own[both] - theirs[both]))
        else:
            means[number] = float(np.nanmean(own))
    return means


def _difference(a: Floats, b: Floats, *, level: float, groups: NDArray[Any] | None, seed: int) -> tuple[float, float]:
    """Give the interval of mean(a) - mean(b) on the images that both have; all numbers where too few show anything."""
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < 2:
        return float("-inf"), float("inf")
    members = None if groups is None else np.asarray(groups)[both]
    return intervals.paired_bootstrap(a[both], b[both], level=level, groups=members, seed=seed)


def _reason(
    winner: int,
    leader: int,
    default: int,
    cheapest: int,
    tied: Sequence[int],
    scored: Mapping[int, Floats],
    means: Mapping[int, float],
) -> str:
    n = int((~np.isnan(scored[leader])).sum())
    best = f"trial {leader} has the lowest validation log-loss ({means[leader]:.3f} on {n} images)"
    if leader == winner == default:
        return f"{best}; it is the untuned default"
    if winner == default:
        against = f"the untuned default (trial {default}, {means[default]:.3f})"
        return f"{best}, but does not beat {against} beyond noise: the default is kept"
    others = [t for t in tied if t not in (leader, default)]
    over = f"is right more often than the untuned default (trial {default}) beyond noise" if default in tied else ""
    if not others:
        return f"{best}, and {over}" if over else f"{best}, beyond noise"
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    named = ", ".join(str(t) for t in others[:_SHOWN]) + more
    plural = "trials" if len(others) > 1 else "trial"
    tie = f"{best}; {plural} {named} cannot be told from it (interval of the paired difference)"
    why = (
        "is the cheapest"
        if winner == cheapest
        else "is the better bet: what such a training brought elsewhere counts as one more fold"
    )
    return f"{tie}; of these trial {winner} {why}{', and ' + over if over else ''}"
