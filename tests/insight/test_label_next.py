"""What to label next: unsure images that differ, unlike ones apart."""

from __future__ import annotations

import numpy as np

from advisor.insight import label_next


def test_unsure_images_come_first_and_differ() -> None:
    """Of two copies of the most unsure image one is chosen; sure images come last."""
    p = np.array([[0.5, 0.5], [0.5, 0.5], [0.6, 0.4], [0.99, 0.01]])
    features = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.7, 0.7]])
    assert label_next.rank(p, features, 2).tolist() == [0, 2]
    assert len(label_next.rank(p, features, 9)) == 4


def test_unlike_images_stand_apart() -> None:
    """An image below the limit is not among the ranked ones but in its own list, most unlike first."""
    p, features = np.full((4, 2), 0.5), np.eye(4)
    novelty = np.array([0.5, 0.002, 0.3, 0.001])
    assert set(label_next.rank(p, features, 4, p_values_M=novelty).tolist()) == {0, 2}
    assert label_next.apart(novelty).tolist() == [3, 1]


def test_margins_are_measured_between_the_first_two() -> None:
    """Uncertainty is 1 where two classes tie and 0 where one has everything."""
    assert label_next.uncertainty(np.array([[0.4, 0.4, 0.2], [1.0, 0.0, 0.0]])).tolist() == [1.0, 0.0]
