"""Prototypes against scikit-learn and against leaving each item out in turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_points import points

from advisor.heads import prototypes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_means_do_not_need_sorted_rows() -> None:
    """Class means are taken by label: shuffled rows give the same prototypes (docs/design.md 6.11)."""
    x, labels = points()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    a, counts = prototypes.means(x, labels, 3)
    b, _ = prototypes.means(x[order], labels[order], 3)
    assert torch.allclose(a, b, atol=1e-6)
    assert torch.allclose(a[1], x[labels == 1].mean(0), atol=1e-6)
    assert counts.tolist() == [int((labels == c).sum()) for c in range(3)]


def test_the_nearest_mean_is_that_of_scikit_learn() -> None:
    """The linear form picks the same class as scikit-learn's nearest centroid."""
    from sklearn.neighbors import NearestCentroid

    x, labels = points()
    weight, bias, _ = prototypes.euclidean(x, labels, 3)
    expected = NearestCentroid().fit(x.numpy(), labels.numpy()).predict(x.numpy())
    assert np.array_equal((x @ weight.T + bias).argmax(1).numpy(), expected)


def test_leave_one_out_scores_are_exact() -> None:
    """Each item's own-class score is that of the prototypes made without it; the others' scores are unchanged."""
    x, labels = points()
    _, _, euclidean = prototypes.euclidean(x, labels, 3)
    _, cosine = prototypes.cosine(x, labels, 3)
    for i in range(0, 40, 9):
        keep = torch.arange(40) != i
        own = int(labels[i])
        weight, bias, _ = prototypes.euclidean(x[keep], labels[keep], 3)
        assert euclidean[i, own] == pytest.approx(float(x[i] @ weight[own] + bias[own]), abs=1e-5)
        unit, _ = prototypes.cosine(x[keep], labels[keep], 3)
        assert cosine[i, own] == pytest.approx(float(torch.nn.functional.normalize(x[i], dim=0) @ unit[own]), abs=1e-5)


def test_a_class_without_items_is_never_first() -> None:
    """A class that has no item scores below every other and stays finite."""
    x, labels = points()
    weight, bias, _ = prototypes.euclidean(x, labels, 5)
    scores = x @ weight.T + bias
    assert torch.isfinite(scores).all()
    assert (scores[:, 3:] < scores[:, :3].min()).all()
