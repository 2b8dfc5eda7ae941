"""Nearest neighbours against scikit-learn and against leaving each item out in turn."""

from __future__ import annotations

import pytest
import torch
from labelled_points import points

from advisor.heads import knn

pytestmark = pytest.mark.usefixtures("one_thread")


def test_neighbours_vote_as_in_scikit_learn() -> None:
    """With equal weights (a huge temperature) the shares are those of scikit-learn's k nearest by cosine."""
    from sklearn.neighbors import KNeighborsClassifier

    x, labels = points()
    unit = torch.nn.functional.normalize(x)
    queries, _ = points(seed=5)
    unit_queries = torch.nn.functional.normalize(queries)
    shares = knn.neighbours(unit_queries, unit, labels, 3, k=7, sharpness=1e6)
    expected = KNeighborsClassifier(7, metric="cosine").fit(unit, labels).predict_proba(unit_queries)
    assert shares.exp().numpy() == pytest.approx(0.99 * expected + 0.01 / 3, abs=1e-4)


def test_an_item_is_not_its_own_neighbour() -> None:
    """Leave-one-out shares equal those of a bank without the item, also across chunks."""
    x, labels = points()
    unit = torch.nn.functional.normalize(x)
    shares = knn.neighbours(unit, unit, labels, 3, k=4, sharpness=0.1, leave_one_out=True)
    for i in (0, 17, 39):
        keep = torch.arange(40) != i
        alone = knn.neighbours(unit[i : i + 1], unit[keep], labels[keep], 3, k=4, sharpness=0.1)
        assert torch.allclose(shares[i], alone[0], atol=1e-4)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries computed in chunks give the same shares as all at once."""
    x, labels = points()
    unit = torch.nn.functional.normalize(x)
    whole = knn.neighbours(unit, unit, labels, 3, k=4, sharpness=0.1, leave_one_out=True)
    monkeypatch.setattr(knn, "_ROWS", 7)
    assert torch.allclose(
        knn.neighbours(unit, unit, labels, 3, k=4, sharpness=0.1, leave_one_out=True), whole, atol=1e-5
    )


def test_more_neighbours_than_items_are_all_items() -> None:
    """A k above the number of items means all items."""
    x, labels = points(n=3)
    unit = torch.nn.functional.normalize(x)
    shares = knn.neighbours(unit, unit, labels, 3, k=50, sharpness=1e6)
    assert shares.exp().sum(1).numpy() == pytest.approx(1.0, abs=1e-5)
