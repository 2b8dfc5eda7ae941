"""advisor.training.losses: cross-entropy in all its kinds, beside torch's and beside the formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from advisor.errors import InputError
from advisor.training import losses

COUNTS = np.array([60, 30, 10])


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(0))


LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 0, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_is_torchs(logits: torch.Tensor, smoothing: float) -> None:
    """Without weights the loss is torch's mean cross-entropy, for labels and for the same labels as probabilities."""
    expected = functional.cross_entropy(logits, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(losses.cross_entropy(logits, LABELS, smoothing=smoothing), expected)
    soft = losses.one_hot(LABELS, 3)
    torch.testing.assert_close(losses.cross_entropy(logits, soft, smoothing=smoothing), expected)


def test_half_precision_logits_are_judged_in_single(logits: torch.Tensor) -> None:
    """The loss is computed in float32 whatever the logits' precision."""
    assert losses.cross_entropy(logits.bfloat16(), LABELS).dtype == torch.float32


def test_balanced_weights_make_classes_count_alike(logits: torch.Tensor) -> None:
    """Balanced weights are n / (K n_k): over the training set each class weighs the same, and the average is 1."""
    balance = losses.balance("balanced", COUNTS)
    assert balance.weights is not None
    np.testing.assert_allclose(balance.weights.numpy() * COUNTS, 100 / 3, rtol=1e-6)
    each = functional.cross_entropy(logits, LABELS, reduction="none") * balance.weights[LABELS]
    torch.testing.assert_close(losses.cross_entropy(logits, LABELS, balanced=balance), each.mean())


def test_logit_adjustment_adds_the_log_prior(logits: torch.Tensor) -> None:
    """Logit adjustment trains on logits + log prior (Menon et al. 2020, equation 10)."""
    balance = losses.balance("logit_adjust", COUNTS)
    expected = functional.cross_entropy(logits + torch.tensor(np.log(COUNTS / 100), dtype=torch.float32), LABELS)
    torch.testing.assert_close(losses.cross_entropy(logits, LABELS, balanced=balance), expected)


@pytest.mark.parametrize("kind", ["balanced", "logit_adjust"])
def test_a_class_without_images_stays_finite(kind: str, logits: torch.Tensor) -> None:
    """A class that a fold lacks neither divides by zero nor gives log 0."""
    balance = losses.balance(kind, np.array([5, 0, 5]))
    assert torch.isfinite(losses.cross_entropy(logits, LABELS, balanced=balance))


def test_an_unknown_kind_is_named() -> None:
    """A misspelt kind is one line with those that exist."""
    with pytest.raises(InputError, match=r"balance.*balanced, logit_adjust, none"):
        losses.balance("balance", COUNTS)
