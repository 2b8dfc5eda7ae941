"""Finished runs, listed and compared: directories -> summaries; two of them -> a paired test on the same test images.

In: run directories, or folders of them. Out: records for the command line. Two runs are compared image by image only where
their test sets are the same images in the same order. Nothing is trained, no torch. Does NOT cover: showing them (`cli.runs`).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor import errors
from advisor.errors import InputError
from advisor.metrics import intervals
from advisor.records import Result
from advisor.records.objective import ObjectiveScore
from advisor.records.trials import RunStatus
from advisor.reporting import stored_results
from advisor.runtime import stored_arrays
from advisor.selection import objective_decision

PARENT = errors.RUNS_FOLDER


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run. `same_data` is a letter that runs on equal data share, "" where no other run has them."""

    run: str
    data: str
    status: RunStatus
    objective: ObjectiveScore | None
    accuracy: float | None
    backbone: str
    strategy: str
    megabytes: float | None
    milliseconds: float | None  # per image of the exported graph on one thread; `ms_measured` where it is no prediction
    ms_measured: bool
    asked_s: float | None
    used_s: float
    same_data: str = ""


@dataclass(frozen=True, kw_only=True)
class RunDifference:
    """The first run's test accuracy minus the second's, on the same `n` test images, with a 95 % interval."""

    first: str
    second: str
    difference: float
    ci95: tuple[float, float]
    p: float
    n: int


def find(folders: Sequence[Path]) -> list[Path]:
    """List run directories: each of `folders` is one, or holds some. Raises InputError where none is found."""
    runs: list[Path] = []
    for folder in folders:
        if (folder / stored_results.FILE).is_file():
            runs.append(folder)
        elif folder.is_dir():
            runs += sorted(path.parent for path in folder.glob(f"*/{stored_results.FILE}"))
    if not runs:
        names = ", ".join(str(folder) for folder in folders)
        raise InputError(f"{names}: no finished run there.", hint="Name run directories, or a folder that holds some.")
    return list(dict.fromkeys(runs))


def readable(runs: Sequence[Path]) -> tuple[list[Path], list[InputError]]:
    """Return the runs whose result can be read, and why others cannot. Raises the first reason where none can."""
    good, faults = [], []
    for run in runs:
        try:
            stored_results.read(run)
            good.append(run)
        except InputError as error:
            faults.append(error)
    if not good:
        raise faults[0]
    return good, faults


def summarise(runs: Sequence[Path]) -> list[RunSummary]:
    """Return a summary of each run, in the given order, with runs on equal data marked by the same letter."""
    results = [stored_results.read(run)[0] for run in runs]
    prints = [r.dataset.fingerprint for r in results]
    shared = [p for p in dict.fromkeys(prints) if prints.count(p) > 1]
    letters = {p: chr(ord("A") + i % 26) + (str(i // 26 + 1) if i >= 26 else "") for i, p in enumerate(shared)}
    return [_summary(run, r, letters.get(r.dataset.fingerprint, "")) for run, r in zip(runs, results, strict=True)]


def _summary(run: Path, result: Result, letter: str) -> RunSummary:
    model = run / "model.safetensors"
    return RunSummary(
        run=str(run),
        data=Path(result.dataset.path).name,
        status=result.status,
        objective=result.objective,
        accuracy=result.test.accuracy if result.test else None,
        backbone=result.best.backbone,
        strategy=result.best.strategy,
        megabytes=model.stat().st_size / 1e6 if model.is_file() else None,
        milliseconds=result.limits.cost.ms if result.limits else None,
        ms_measured=result.limits is not None and result.limits.cost.measured,
        asked_s=result.budget.asked_s,
        used_s=result.budget.used_s,
        same_data=letter,
    )


def difference(first: Path, second: Path) -> RunDifference | None:
    """Compare two runs on the same test images, whole groups resampled together; None where they are not the same."""
    if not all((run / "trials" / "test.npz").is_file() for run in (first, second)) or _test(first) != _test(second):
        return None
    a, b = (stored_arrays.read(run / "trials" / "test.npz") for run in (first, second))
    if len(a["labels"]) != len(_test(first)) or not np.array_equal(a["labels"], b["labels"]):
        return None  # an unreadable or left-out image: the rows are not known to be the same
    right, groups = [saved["logits"][0].argmax(1) == saved["labels"] for saved in (a, b)], a["groups"]
    gain = objective_decision.compare_on_test(right[0], right[1], groups)
    enough = intervals.enough_groups(groups)
    return RunDifference(
        first=str(first),
        second=str(second),
        difference=gain.over_baseline,
        ci95=gain.ci95,
        p=intervals.paired_p(right[0].astype(float), right[1].astype(float), groups=groups) if enough else 1.0,
        n=len(groups),
    )


def _test(run: Path) -> list[tuple[str, str]]:
    """Return content hash and label of a run's test images, in their order. Raises InputError for a damaged list."""
    path = run / "splits.csv"
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return [(row["sha256"], row["label"]) for row in csv.DictReader(stream) if row["split"] == "test"]
    except (OSError, KeyError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}).", hint="Copy it from the run again.") from error
