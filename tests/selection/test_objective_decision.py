"""Two models on the same test images: a difference is beyond chance only where there is evidence for it."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.selection import objective_decision


@pytest.mark.parametrize(("images", "groups"), [(1, 1), (3, 3), (60, 1), (60, 2), (60, 5)])
def test_a_handful_of_images_or_groups_proves_nothing(images: int, groups: int) -> None:
    """One photo, or the photos of two patients, all in favour of a model, are within noise."""
    right, wrong = np.ones(images, dtype=bool), np.zeros(images, dtype=bool)
    gain = objective_decision.compare_on_test(right, wrong, np.arange(images) % groups)
    assert gain.over_baseline == 1.0
    assert gain.within_noise
    assert gain.ci95[0] <= 0.0 <= gain.ci95[1]


def test_enough_images_are_evidence() -> None:
    """Sixty images of sixty groups in favour of a model are beyond noise."""
    right, wrong = np.ones(60, dtype=bool), np.zeros(60, dtype=bool)
    assert not objective_decision.compare_on_test(right, wrong, np.arange(60)).within_noise


def test_models_that_agree_on_a_few_images_need_not_agree_on_others() -> None:
    """With no difference on 25 images the interval is not "0 to 0": up to 13 % of other images may differ."""
    right = np.arange(25) > 0
    gain = objective_decision.compare_on_test(right, right, np.arange(25))
    assert (gain.over_baseline, gain.within_noise) == (0.0, True)
    assert gain.ci95 == pytest.approx((-0.133, 0.133), abs=1e-3)
