"""The contract of a kind of head: how it is fitted on rows of features, and scored on folds and on few-shot episodes.

In: a `records.Head`, which names the kind and its numbers, and `TrainingRows`. Out: a module from raw features to logits.
Does NOT cover: which kinds exist (`registry`), what is the same for all of them (`fitting`).
Legend: N items, D features, K classes; E episodes, M support items, n queries, W ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import nn

from advisor.aliases import Float32s, Folds, Ints
from advisor.records import Head


@dataclass(frozen=True, kw_only=True)
class TrainingRows:
    """What a head is fitted on: features (N, D), labels (N,) in 0..classes - 1.

    `blocks` are the widths of the stages side by side in `features`. `class_weights` is as in `TrainPlan`. Folds that a
    kind cuts itself are drawn from `seed` and do not split `groups`.
    """

    features: Float32s
    labels: Ints
    classes: int
    class_weights: str = "none"
    blocks: Sequence[int] = ()
    seed: int = 0
    groups: Ints | None = None

    def take(self, chosen: Ints) -> TrainingRows:
        """Return the chosen rows."""
        groups = None if self.groups is None else self.groups[chosen]
        return replace(self, features=self.features[chosen], labels=self.labels[chosen], groups=groups)


class HeadModule(nn.Module):
    """A fitted head: (N, D) raw features -> (N, K) logits. Its state dict is all that a saved model holds of it."""

    saved_as: ClassVar[str]  # the name of the module's class in model.json

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> HeadModule:
        """Build the head from its state dict. Raises KeyError with the name of a missing tensor."""
        raise NotImplementedError

    def raised(self, offset_K: torch.Tensor) -> HeadModule:
        """Return the head whose logits are those of this one plus `offset_K` (K,)."""
        raise NotImplementedError


class HeadKind(Protocol):
    """One kind of head; `registry.KINDS` lists them."""

    @property
    def name(self) -> str:
        """Return the value of `records.Head.kind`."""

    @property
    def module(self) -> type[HeadModule]:
        """Return the class of the modules that `fit` returns."""

    def fit(self, head: Head, rows: TrainingRows) -> HeadModule:
        """Fit and calibrate on all rows. Numbers that `head` leaves out are chosen on these rows alone."""

    def oof(self, head: Head, rows: TrainingRows, folds: Folds, watch: Callable[[], None] | None) -> Float32s:
        """Return each validation row's calibrated logits from the fit without its fold, (N, K); nan in other rows."""

    def episodes(self, head: Head, support_EMD: torch.Tensor, queries_EnD: torch.Tensor, ways: int) -> torch.Tensor:
        """Fit every episode's standardised support and return the logits of its queries, (E, n, W).

        Support items stand class by class. Raises InputError where the kind has no few-shot form.
        """
