"""Does an exported model say what `predict` says? Both are asked about the same real images of the run.

In: a predictor, a function that runs the export, photos. Out: how often the same class is first, and the largest
difference of a probability. What it does not cover: making the export (`run_export`).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.aliases import Float64s, Pixels
from advisor.data import pixels
from advisor.errors import InputError
from advisor.models.ensemble_predictor import EnsemblePredictor
from advisor.models.predictor import Predictor

TOLERANCE = 1e-4  # largest difference of a probability, float32
IMAGES = 256  # compared at most; 200 are the promise
BATCH = 32

Answer = Callable[[Pixels], Float64s]  # uint8 (N, S, S, 3) -> (N, K)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How an exported model compares with `predict` on `n` real images: shares and absolute differences, 0..1."""

    n: int
    agreement: float
    worst: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the same class is first on all images, and no probability differs by more than the tolerance."""
        return self.agreement == 1.0 and self.worst <= self.tolerance

    @property
    def complaint(self) -> str:
        """What did not hold, in words."""
        return (
            f"it does not agree with predict: same first class on {self.agreement:.1%} of {self.n} images, "
            f"probabilities differ by up to {self.worst:.2g} (allowed: {self.tolerance:g})."
        )


def run_images(run: Path, data: Path | None = None) -> tuple[Path, ...]:
    """Return up to 256 images of the run's data set, locked test first, spread evenly over the list of its splits.

    Raises: InputError where the list or the images are gone.
    """
    rows = _split_rows(run)
    root = data or _root(run)
    here = [(split, root / path) for path, split in rows if (root / path).is_file()]
    if not here:
        raise InputError(
            f"the images of the run are not at {root}, and an export is compared on real images.",
            hint="Say where they are with --data DIR.",
        )
    test = [path for split, path in here if split == "test"]
    rest = [path for split, path in here if split != "test"]
    chosen = _spread(test, IMAGES)
    return (*chosen, *_spread(rest, IMAGES - len(chosen)))


def _split_rows(run: Path) -> list[tuple[str, str]]:
    try:
        with open(run / "splits.csv", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return [(row["path"], row["split"]) for row in csv.DictReader(stream)]
    except (OSError, KeyError) as error:
        raise InputError(f"{run / 'splits.csv'} cannot be read: {error}.", hint="Name a run directory.") from error


def _root(run: Path) -> Path:
    """Where the run's images were: a folder, or the folder of a manifest."""
    from advisor.data.remote import data_sets
    from advisor.records import recipe_file
    from advisor.records.data import ReadOptions

    recorded = recipe_file.read(run).data
    hint = data_sets.local(recorded.path_hint, recorded.reading or ReadOptions())
    return hint.parent if hint.is_file() else hint


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    if len(paths) <= most:
        return list(paths)
    return [paths[i * len(paths) // most] for i in range(most)] if most > 0 else []


def compare(
    predictor: Predictor | EnsemblePredictor,
    answer: Answer,
    photos: Sequence[Path],
    *,
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> Parity:
    """Ask an exported model and the product's own `predict` about the same photos.

    Raises: InputError where none of the photos can be read.
    """
    worst, same, n = 0.0, 0, 0
    for start in range(0, len(photos), BATCH):
        squares, readable = _squares(predictor, photos[start : start + BATCH])
        if readable:
            want = predictor.predict(readable).probabilities
            got = answer(squares)
            worst = max(worst, float(np.abs(want - got).max()))
            same += int((want.argmax(axis=1) == got.argmax(axis=1)).sum())
            n += len(readable)
        if progress:
            progress("comparing with predict", min(start + BATCH, len(photos)), len(photos))
    if not n:
        raise InputError("none of the run's images can be read, and an export is compared on real images.")
    return Parity(n=n, agreement=same / n, worst=worst, tolerance=tolerance)


def _squares(predictor: Predictor | EnsemblePredictor, photos: Sequence[Path]) -> tuple[Pixels, list[Path]]:
    """The uint8 squares that a user of the export would feed, and the photos that could be read."""
    squares, readable = [], []
    for photo in photos:
        try:
            squares.append(pixels.decode(photo, predictor.rule))
        except (ValueError, OSError):
            continue  # predict would set it aside as well
        readable.append(photo)
    if not squares:
        return np.zeros((0, 0, 0, 3), np.uint8), []
    return pixels.centre(np.stack(squares), predictor.size_px), readable
