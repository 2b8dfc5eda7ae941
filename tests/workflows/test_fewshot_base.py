"""Base and novel classes are apart, and what is trained on the base has seen no image of a novel class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from photos import write_crops

from advisor.errors import InputError
from advisor.records import Settings
from advisor.workflows import fewshot_base, session

NAMES = [f"class {i}" for i in range(12)]


def test_a_split_is_disjoint_and_follows_names() -> None:
    """No class is on both sides, about 60 % are base, enough stay novel; another order of names is the same split."""
    usable = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9, 11])
    parts = fewshot_base.split(NAMES, usable, ways=3, seed=0)
    assert len(parts.base) == 6
    assert sorted([*parts.base, *parts.novel]) == usable.tolist()
    assert len(fewshot_base.split(NAMES, usable, ways=8, seed=0).novel) == 8
    turned = fewshot_base.split(NAMES[::-1], np.sort(11 - usable), ways=3, seed=0)
    assert {NAMES[::-1][c] for c in turned.base} == {NAMES[c] for c in parts.base}
    assert fewshot_base.split(NAMES, usable, ways=3, seed=1) != parts
    with pytest.raises(InputError, match="needs 11 classes"):
        fewshot_base.split(NAMES, usable, ways=9, seed=0)


def test_training_sees_base_classes_alone(tmp_path: Path) -> None:
    """Changing the pictures of novel classes changes nothing of the trained network: base features are the same bits."""
    folder = write_crops(tmp_path / "crops", classes=5, each=8, side_px=32)
    told = []
    for round_ in range(2):
        settings = Settings(
            data=str(folder), backbones=("pocket",), size_px=32, offline=True, threads=1, test_split="none"
        )
        bench = session.settle(settings)
        candidate = session.candidate(bench, "episodic", {"epochs": 1.0})
        pooled = fewshot_base.tuned(bench, candidate, (0, 1, 2), seed=0)
        base = [i for i, item in enumerate(bench.resources.job.items) if item.label < 3]
        told.append(pooled.values[base])
        frozen = bench.resources.pooled(bench.backbone, 32)
        last = frozen.values.shape[1] - frozen.dims[-1]
        assert not np.allclose(pooled.values[base][:, last:], frozen.values[base][:, last:])
        if not round_:
            for path in (folder / "class 4").iterdir():
                path.write_bytes(next((folder / "class 0").iterdir()).read_bytes())
    assert np.array_equal(*told)
