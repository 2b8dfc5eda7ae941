"""The head that training starts from: logistic regression, or ridge regression where the former would take a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from advisor.aliases import Float32s, Folds
from advisor.errors import InputError
from advisor.heads import logistic, ridge
from advisor.heads.kind import TrainingRows
from advisor.heads.linear_head import LinearHead
from advisor.records import Head

HUGE_WORK = 1e10  # features times outputs above which a logistic fit would take seconds per step


@dataclass(frozen=True)
class LinearKind:
    """The start of a trained head. It has no few-shot form of its own."""

    name: str = "linear"
    module: type[LinearHead] = LinearHead

    def fit(self, head: Head, rows: TrainingRows) -> LinearHead:
        """Fit all rows: from `logistic.MANY_IMAGES` on by ridge, since a logistic fit takes half a minute at 40,000."""
        work = len(rows.labels) * min(rows.features.shape) * rows.classes
        closed_form = len(rows.labels) >= logistic.MANY_IMAGES or work > HUGE_WORK
        return (ridge.KIND if closed_form else logistic.KIND).fit(head, rows)

    def oof(self, head: Head, rows: TrainingRows, folds: Folds, watch: Callable[[], None] | None) -> Float32s:
        """Return the logits of logistic regression."""
        return logistic.KIND.oof(head, rows, folds, watch)

    def episodes(self, head: Head, support_EMD: torch.Tensor, queries_EnD: torch.Tensor, ways: int) -> torch.Tensor:
        """Raise InputError: this head is only a start for training."""
        raise InputError(f'a head of kind "{self.name}" has no few-shot form.')


KIND = LinearKind()
