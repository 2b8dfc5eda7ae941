"""How sure a score is: arrays of per-item outcomes -> bounds and p-values. Pure, seeded, numpy and scipy only.

Legend: n items, T candidates, B resamples. Resampling is over items (or whole groups of them), never over batches.
Does NOT cover: which comparison matters (`selection.verdict`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.aliases import Floats

RESAMPLES = 4000
FEWEST_GROUPS = 6  # groups (items, where they have none) below which no difference is beyond chance at 5 %
_BLOCK = 1 << 22  # resampled numbers held together


def wilson(right: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share of `right` in `n`; (0, 1) where n is 0.

    Source: Wilson 1927; recommended by Brown, Cai and DasGupta 2001.
    """
    if not 0 <= right <= n:
        raise ValueError(f"right must lie in 0..n, got {right} of {n}")
    return _score_interval(right / n, n, level) if n else (0.0, 1.0)


def grouped_wilson(right_n: NDArray[np.bool_], groups: NDArray[Any], *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share where items of one group are no independent evidence; Wilson's where no two share one.

    Wilson's interval at the number of independent items that n grouped ones are worth: n over the design effect (how much
    the variance between groups exceeds a binomial one), corrected by Student's quantile for few groups. Where all or no
    items are right there is no variance to see, and every group counts as one item.
    Source: Korn and Graubard 1998; Dean and Pagano 2015, doi:10.1093/jssam/smv024.
    """
    right, n = np.asarray(right_n, dtype=np.float64), len(right_n)
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(member)
    count = len(sizes)
    if count == n:
        return wilson(int(right.sum()), n, level=level)
    p = float(right.mean())
    if count == 1 or p in (0.0, 1.0):
        return _score_interval(p, count, level)
    surplus = np.bincount(member, weights=right) - p * sizes
    variance = count / (count - 1) * float(surplus @ surplus) / n**2
    effect = max(1.0, variance / (p * (1 - p) / n))
    few = (_quantile(level) / student_quantile(level, count - 1)) ** 2
    return _score_interval(p, few * n / effect, level)


def bounded_mean(
    items_n: Floats,
    low: float,
    high: float,
    *,
    groups: NDArray[Any] | None = None,
    most: float | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of a mean that lies in low..high, from per-item values (pseudo-values may lie outside).

    Wilson's interval at the number of independent binary items whose mean would vary as much, corrected by Student's
    quantile for few items or groups. `most` limits that number, for scores whose estimated variance vanishes near a
    perfect value; by default the number of items or groups limits it where there is no variance at all.
    Source: as `grouped_wilson`, with the variance of the values for that of shares.
    """
    if high <= low:
        return low, high
    values, member = _groups_of((np.asarray(items_n, dtype=np.float64) - low) / (high - low), groups)
    n, count = len(values), int(member.max(initial=-1)) + 1
    p = min(1.0, max(0.0, float(values.mean())))
    variance = _variance_of_mean(values, member)
    limit = (float(count) if most is None else most * count / n) if variance <= 0 else (most or float("inf"))
    size = min(p * (1 - p) / variance if variance > 0 else limit, limit)
    bottom, top = _score_interval(p, max(size * _student_factor(count, level), 1e-9), level)
    return low + bottom * (high - low), low + top * (high - low)


def positive_mean(items_n: Floats, *, groups: NDArray[Any] | None = None, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a mean of values of at least 0: Student's, on the scale of the logarithm.

    (0, mean) where no value is above 0, (0, inf) for a single item or group. Source: the delta method on log(mean), which
    keeps the bounds positive and follows the skewness of losses.
    """
    values, member = _groups_of(items_n, groups)
    count, mean = int(member.max(initial=-1)) + 1, float(values.mean())
    if mean <= 0:
        return 0.0, max(0.0, mean)
    if count < 2:
        return 0.0, float("inf")
    half = student_quantile(level, count - 1) * float(np.sqrt(_variance_of_mean(values, member))) / mean
    return mean * float(np.exp(-half)), mean * float(np.exp(half))


def _groups_of(items_n: Floats, groups: NDArray[Any] | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the values as float64 and, for each, the number of its group: its own number where there are none."""
    values = np.asarray(items_n, dtype=np.float64)
    if groups is None:
        return values, np.arange(len(values))
    return values, np.unique(np.asarray(groups), return_inverse=True)[1]


def _variance_of_mean(values: NDArray[np.float64], member: NDArray[np.int64]) -> float:
    """Return the estimated variance of the mean where whole groups were drawn; 0 for fewer than two."""
    count = int(member.max(initial=-1)) + 1
    if count < 2:
        return 0.0
    surplus = np.bincount(member, weights=values - values.mean())
    return count / (count - 1) * float(surplus @ surplus) / len(values) ** 2


def _student_factor(count: int, level: float) -> float:
    """Return the factor on a sample size by which Student's quantile replaces the normal one, for `count` groups."""
    return (_quantile(level) / student_quantile(level, count - 1)) ** 2 if count > 1 else 1.0


def _score_interval(p: float, n: float, level: float) -> tuple[float, float]:
    z = _quantile(level)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    # At the ends one bound is exact; rounding must not move it inside.
    return (0.0 if p == 0.0 else max(0.0, middle - half)), (1.0 if p == 1.0 else min(1.0, middle + half))


def student_quantile(level: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def _quantile(level: float) -> float:
    from statistics import NormalDist

    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return NormalDist().inv_cdf(0.5 + level / 2)


def bootstrap(
    scores: Floats,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: NDArray[Any] | None = None,
) -> tuple[float, float]:
    """Return the percentile interval of the mean of per-item scores; (nan, nan) where there are none.

    With `groups` (one value an item), whole groups are drawn: images of one patient are no independent evidence.
    """
    if len(scores) == 0:
        return float("nan"), float("nan")
    means = _resampled_means(np.asarray(scores, dtype=np.float64), resamples, seed, groups)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(
    a: Floats,
    b: Floats,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: NDArray[Any] | None = None,
) -> tuple[float, float]:
    """Return the interval of mean(a) - mean(b), both scored on the same items in the same order.

    Raises ValueError where the lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"a paired comparison needs the same items: got {len(a)} and {len(b)}")
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return bootstrap(difference, level=level, resamples=resamples, seed=seed, groups=groups)


def enough_groups(groups: NDArray[Any]) -> bool:
    """Return False for so few that even all of them in favour of one model prove nothing (two-sided sign test, 5 %).

    A bootstrap of them would have little spread or none, and its interval would exclude zero.
    """
    return len(np.unique(groups)) >= FEWEST_GROUPS


def paired_p(
    a: Floats, b: Floats, *, resamples: int = RESAMPLES, seed: int = 0, groups: NDArray[Any] | None = None
) -> float:
    """Return the two-sided bootstrap p-value of mean(a) = mean(b) on the same items; never 0, at most 1."""
    if len(a) != len(b):
        raise ValueError(f"a paired comparison needs the same items: got {len(a)} and {len(b)}")
    if len(a) == 0:
        return 1.0
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    means = _resampled_means(difference, resamples, seed, groups)
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (resamples + 1))


def errors_apart(a: Floats, b: Floats, *, groups: NDArray[Any] | None = None) -> float:
    """Return how many of its standard errors mean(a) - mean(b) is away from 0, both scored on the same items, in order.

    Infinite where there is no spread at all, 0 where there are fewer than two items or groups. What is beyond any doubt needs
    no resampling. Raises ValueError where the lengths differ. Source: the paired t statistic; over groups, Cochran 1977, 9A.
    """
    if len(a) != len(b):
        raise ValueError(f"a paired comparison needs the same items: got {len(a)} and {len(b)}")
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    member = np.arange(len(difference)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(member.max(initial=-1)) + 1
    if count < 2:
        return 0.0
    surplus = np.bincount(member, weights=difference - difference.mean())
    error = float(np.sqrt(count / (count - 1) * (surplus @ surplus))) / len(difference)
    apart = abs(float(difference.mean()))
    return apart / error if error > 0 else (float("inf") if apart else 0.0)


def optimism(scores_Tn: Floats, *, resamples: int = 1000, seed: int = 0) -> float:
    """Estimate by how much the best of T candidates looks better than it is, from per-item scores (higher is better).

    On every resample the best candidate is chosen on the drawn items and scored on those that were not drawn; what it
    loses on average is the estimate, 0 for one candidate.
    Source: Tsamardinos et al. 2018, doi:10.1007/s10994-018-5714-4 (bootstrap bias corrected cross-validation).
    """
    table = np.asarray(scores_Tn, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or table.shape[0] < 2:
        return 0.0
    n = table.shape[1]
    rng = np.random.Generator(np.random.Philox(key=seed))
    honest = []
    for _ in range(resamples):
        counts = np.bincount(rng.integers(0, n, n), minlength=n)
        outside = counts == 0
        if outside.any():
            honest.append(table[int(np.argmax(table @ counts)), outside].mean())
    return max(0.0, float(table.mean(axis=1).max() - np.mean(honest))) if honest else 0.0


def _resampled_means(
    scores: NDArray[np.float64], resamples: int, seed: int, groups: NDArray[Any] | None
) -> NDArray[np.float64]:
    """Draw items (or groups) with replacement; give the mean score of each resample, (B,)."""
    if groups is None:
        sums, sizes = scores, np.ones(len(scores))
    else:
        _, member = np.unique(np.asarray(groups), return_inverse=True)
        sums = np.bincount(member, weights=scores).astype(np.float64)
        sizes = np.bincount(member).astype(np.float64)
    rng = np.random.Generator(np.random.Philox(key=seed))
    step = max(1, _BLOCK // len(sums))
    parts = []
    for start in range(0, resamples, step):
        drawn = rng.integers(0, len(sums), (min(step, resamples - start), len(sums)))
        parts.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(parts)
