"""A data set opened as a worker opens it, on the CPU with one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advisor import registry
from advisor.execution.resources import Resources
from advisor.records import Dataset
from advisor.records.messages import OpenDataset


def job_of(data_set: Dataset, run_dir: Path | None = None, **changes: Any) -> OpenDataset:
    """Return what a worker opens: all images, three folds, seed 0; `changes` replace its fields."""
    fields: dict[str, Any] = {"items": data_set.items, "folds": 3, "threads": 1, **changes}
    return OpenDataset(
        root=data_set.root,
        classes=data_set.classes,
        seed=0,
        device="cpu",
        run_dir="" if run_dir is None else str(run_dir),
        offline=True,
        **fields,
    )


def resources_of(data_set: Dataset, run_dir: Path | None = None, **changes: Any) -> Resources:
    """Return what a worker holds of an open data set."""
    return Resources(job_of(data_set, run_dir, **changes), registry.load(), lambda what, done, total: None)
