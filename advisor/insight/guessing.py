"""Whether a score is better than always answering the largest class.

In: labels and predictions of the same items. Out: the share of the largest class, and a one-sided exact test of the
accuracy against it. Does NOT cover: intervals of scores (`metrics.intervals`).
Source: the sign test on the items where the two answers differ in being right (McNemar 1947, exact and one-sided); where
items come in groups, the sign of a whole group is what chance decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from advisor.aliases import Ints

LEVEL = 0.05  # largest p-value at which a score counts as better than guessing


@dataclass(frozen=True, kw_only=True)
class Guessing:
    """The largest class of some items, its `share` (0..1), and `p`, how often guessing does as well by chance."""

    label: int
    share: float
    p: float

    @property
    def learned(self) -> bool:
        """Whether the predictions are better than always answering the largest class, beyond noise."""
        return self.p <= LEVEL


def against_majority(
    labels_n: Ints, predicted_n: Ints, guess: int | None = None, *, groups: Ints | None = None
) -> Guessing:
    """Compare predictions with always answering `guess`, by default the largest class of these labels.

    Items of one of the `groups` (one value an item) are one piece of evidence.
    A guess that was fixed before (the largest class of the training images) makes the test exact; the largest class of
    the scored items themselves makes it harder to pass. Raises ValueError if there are no items.
    """
    labels_n, predicted_n = np.asarray(labels_n), np.asarray(predicted_n)
    if not len(labels_n) or len(labels_n) != len(predicted_n):
        raise ValueError("labels and predictions must have the same length, at least 1")
    label = int(np.bincount(labels_n).argmax()) if guess is None else guess
    right, guessed = predicted_n == labels_n, labels_n == label
    change_n = right.astype(np.int64) - guessed
    member_n = np.arange(len(labels_n)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    surplus = np.bincount(member_n, weights=change_n).astype(np.int64)
    return Guessing(label=label, share=float(guessed.mean()), p=_grouped_sign_test(surplus))


def sign_test(better: int, worse: int) -> float:
    """Return P(at least `better` of better + worse fair coins show heads); 1 if there are none."""
    n = better + worse
    logs = [_log_choose(n, k) - n * math.log(2) for k in range(better, n + 1)]
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def _grouped_sign_test(surplus: Ints) -> float:
    """Return P(sum of surpluses with fair random signs >= their sum): the exact sign test where each is 1, 0 or -1.

    Source: Fisher's randomisation test of paired differences, one difference a group.
    """
    sizes = np.abs(surplus)
    if sizes.max() <= 1:
        return sign_test(int((surplus > 0).sum()), int((surplus < 0).sum()))
    singles = int((sizes == 1).sum())
    heads = np.array([math.exp(_log_choose(singles, k) - singles * math.log(2)) for k in range(singles + 1)])
    for size in sizes[sizes > 1]:  # the sum of the positive ones decides, since the sum of all sizes is fixed
        longer = np.zeros(len(heads) + size)
        longer[: len(heads)] += heads / 2
        longer[size:] += heads / 2
        heads = longer
    return min(1.0, float(heads[int(surplus[surplus > 0].sum()) :].sum()))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
