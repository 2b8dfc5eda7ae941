"""The smallest data sets that people try: a few images per class, and classes of one group."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from photos import write_crops

from advisor import advice
from advisor.errors import DatasetError
from advisor.records import Settings

FAST = {"backbones": ("pocket",), "size_px": 32, "offline": True, "threads": 1, "trials": 1, "budget_s": None}


def test_three_images_in_each_of_two_classes_are_enough_for_a_trial(tmp_path: Path) -> None:
    """Four of them train and validate, in two folds: the search plans with five."""
    crops = write_crops(tmp_path / "crops", classes=2, each=3, side_px=32)
    result, _ = advice.advise(Settings(data=str(crops), **FAST), out=tmp_path / "run")
    assert (result.status, result.trials.complete, result.trials.failed) == ("final", 1, 0)


def test_classes_of_one_group_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """Copies of one image, or one patient, in every class: no part of them can validate the other."""
    crops = write_crops(tmp_path / "crops", classes=2, each=1, side_px=32)
    for file in list(crops.glob("*/*.jpg")):
        for number in range(6):
            shutil.copy(file, file.with_name(f"copy-{number}.jpg"))
    with pytest.raises(DatasetError, match="every class are one group"):
        advice.advise(Settings(data=str(crops), **FAST), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
