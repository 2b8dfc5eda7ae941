"""What is read of a folder, and the error of one that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.data import dataset
from advisor.errors import DatasetError
from advisor.records.data import ReadOptions


def labels(root: Path) -> dict[str, int]:
    """Images by label."""
    counts: dict[str, int] = {}
    for entry in dataset.find(root).entries:
        counts[entry.label] = counts.get(entry.label, 0) + 1
    return counts


def refused(path: Path, options: ReadOptions | None = None) -> DatasetError:
    """The one-line error of a folder that is not read."""
    with pytest.raises(DatasetError) as caught:
        dataset.find(path, options)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value
