"""Labels that look wrong, from out-of-fold probabilities: which, how many are worth a look, and the precision to expect.

In: probabilities (N, K) of models that were not trained on the item, labels (N,), and optionally features for neighbours.
Out: items in the order in which a person should look, a number k of them, and the expected share of wrong labels in it.
The order is the lowest out-of-fold probability of the item's own label first (self-confidence). The number is an
estimate of how many labels are wrong: where the models are surest they hardly ever err, so the share of labels that they
contradict there is taken for the share of wrong labels, at most what confident learning counts.
Does NOT cover: changing labels. Source: Northcutt, Jiang and Chuang 2021 (1911.00068), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advisor.aliases import Bools, Float64s, Floats, Ints, Rows
from advisor.metrics import neighbours

NEIGHBOURS = 5  # shown beside a suspect
SURE_SHARE = 0.2  # of the items, those with the highest probability: there a contradiction is taken for a wrong label
OPTIMISM = 0.81  # measured precision over the expected one, mean of nine cells (docs/insight.md)


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """`order` (N,): items, most suspicious first; `score` (N,) of each item, 0..1, low is suspicious; `suggested` (N,)
    the label that the models prefer among the others; `worth` first items of the order are worth a look, of which about
    `precision` (0..1) have a wrong label."""

    order: Rows
    score: Float64s
    suggested: Rows
    worth: int
    precision: float


def find(probabilities_NK: Floats, labels_N: Ints) -> Suspects:
    """Rank labels by how little out-of-fold models believe in them, and count those worth a look.

    Raises ValueError if there are fewer than two classes.
    """
    p_NK = np.asarray(probabilities_NK, dtype=np.float64)
    labels_N = np.asarray(labels_N)
    n, classes = p_NK.shape
    if classes < 2:
        raise ValueError("labels can only be suspicious where there are at least two classes")
    stated_N = p_NK[np.arange(n), labels_N]
    others = p_NK.copy()
    others[np.arange(n), labels_N] = -1.0
    suggested = others.argmax(axis=1)
    order = np.lexsort((np.arange(n), stated_N))
    worth, precision = _expected(p_NK, labels_N, stated_N[order])
    return Suspects(order=order, score=stated_N, suggested=suggested, worth=worth, precision=precision)


def _expected(p_NK: Float64s, labels_N: Ints, ordered: Float64s) -> tuple[int, float]:
    """Estimate how many labels are wrong, and the share of wrong ones among so many first items of the order."""
    n, best = len(p_NK), p_NK.argmax(axis=1)
    sure = np.argsort(-p_NK.max(axis=1), kind="stable")[: max(1, round(SURE_SHARE * n))]
    rate = float((best[sure] != labels_N[sure]).mean())
    worth = min(round(rate * n), int(counted_wrong(p_NK, labels_N).sum()))
    if not worth:
        return 0, 0.0
    others = np.ones(p_NK.shape, dtype=bool)
    others[np.arange(n), best] = False
    recall = float((p_NK[others] <= ordered[worth - 1]).mean())  # of wrong labels, each drawn uniformly
    return worth, min(1.0, OPTIMISM * recall * rate * n / worth)


def counted_wrong(probabilities_NK: Floats, labels_N: Ints) -> Bools:
    """Return which items confident learning counts off the diagonal of its joint of given and true labels, (N,).

    The threshold of a class is the mean probability that its own items give it; a class without items has none.
    """
    p_NK, labels_N = np.asarray(probabilities_NK, dtype=np.float64), np.asarray(labels_N)
    n, classes = p_NK.shape
    sums = np.bincount(labels_N, weights=p_NK[np.arange(n), labels_N], minlength=classes)
    counts = np.bincount(labels_N, minlength=classes)
    threshold_K = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    confident = np.where(p_NK >= threshold_K - 1e-12, p_NK, -1.0)
    return np.asarray((confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != labels_N))


def opposing(features_ND: Floats, labels_N: Ints, items: Ints, count: int = NEIGHBOURS) -> list[list[int]]:
    """List, for each of `items`, its nearest items that carry another label, nearest first."""
    units_ND, labels_N = neighbours.unit(features_ND), np.asarray(labels_N)
    same_label = labels_N[items][:, None] == labels_N
    similar, positions = neighbours.nearest(units_ND[items], units_ND, count, excluded_MN=same_label)
    return [rows[np.isfinite(near)].tolist() for rows, near in zip(positions, similar, strict=True)]
