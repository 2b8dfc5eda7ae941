"""Compare an exported model with `predict` on the same real images of the run.

In: a predictor, a function that runs the export, photos. Out: how often the same class is first, and the largest
difference of a probability. Does NOT cover: making the export (`run_export`).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from advisor.aliases import Float32s, Float64s, NamedProgress, Pixels
from advisor.data import pixels, splits
from advisor.errors import CheckError, DatasetError, InputError
from advisor.metrics import neighbours
from advisor.models.ensemble_predictor import EnsemblePredictor
from advisor.models.predictor import Predictor
from advisor.records.data import ReadOptions

TOLERANCE = 1e-4  # largest difference of a probability, float32
FEATURE_TOLERANCE = 1e-3  # largest distance of features of unit length
IMAGES = 256  # compared at most; 200 are the promise
BATCH = 32

T = TypeVar("T")
Outputs = tuple[Float64s, Float32s | None]  # probabilities (N, K), features (N, D) where the graph returns them
ComputeProbabilities = Callable[[Pixels], Float64s]  # uint8 (N, S, S, 3) -> (N, K)
ComputeOutputs = Callable[[Pixels], Outputs]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How an exported model compares with `predict` on `n` real images: shares and absolute differences, 0..1.

    `features` is the largest distance of features of unit length; None where the export returns none.
    """

    n: int
    agreement: float
    worst: float
    tolerance: float
    features: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the same class is first on all images, and neither probabilities nor features differ by too much."""
        return self.agreement == 1.0 and self.worst <= self.tolerance and (self.features or 0.0) <= FEATURE_TOLERANCE

    @property
    def complaint(self) -> str:
        """What did not hold, in words."""
        return (
            f"it does not agree with predict: same first class on {self.agreement:.1%} of {self.n} images, "
            f"probabilities differ by up to {self.worst:.2g} (allowed: {self.tolerance:g})"
            + (f", features by {self.features:.2g} ({FEATURE_TOLERANCE:g})." if self.features is not None else ".")
        )


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """An image of the run's list of splits, where it is now: its class's name, "train", "val" or "test", and the number of
    its group, which images with equal bytes share."""

    path: Path
    label: str
    split: str
    group: int


def run_images(run: Path, data: Path | None = None) -> tuple[Path, ...]:
    """Return up to 256 images of the run's data set, locked test first, spread evenly over the list of its splits.

    Raises InputError where the list or the images are gone.
    """
    images = listed(run, data)
    test = [image.path for image in images if image.split == "test"]
    rest = [image.path for image in images if image.split != "test"]
    chosen = spread(test, IMAGES)
    return (*chosen, *spread(rest, IMAGES - len(chosen)))


def listed(run: Path, data: Path | None = None) -> list[ListedImage]:
    """Return the images of the run's list of splits that are there; `data` is where they are now.

    An archive or a table is read as it was for the run. Raises InputError where the list or all images are gone.
    """
    from advisor.data.remote import urls

    location, options = _recorded(run, data)
    try:
        with open(run / "splits.csv", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            rows = [
                (r["path"], r["label"], r["split"], r.get("group") or "", r.get("sha256"))
                for r in csv.DictReader(stream)
            ]
    except (OSError, KeyError, csv.Error) as error:
        raise InputError(f"{run / 'splits.csv'} cannot be read: {error}.", hint="Name a run directory.") from error
    root = _root(location, options, [path for path, *_ in rows])
    numbers = splits.joined([sha256 or path for path, *_, sha256 in rows], [row[3] for row in rows])
    images = [
        ListedImage(path=root / path, label=label, split=split, group=int(number))
        for (path, label, split, *_), number in zip(rows, numbers, strict=True)
    ]
    present = [image for image in images if image.path.is_file()]
    if not present:
        raise InputError(
            f"the images of the run are not at {urls.public(data or root)}, and an export is compared on real images.",
            hint="Say where they are with --data DIR.",
        )
    return present


def _recorded(run: Path, data: Path | None) -> tuple[Path, ReadOptions]:
    """Return where the run's data set is, at `data` or where the recipe says, and how it was read. Raises RecipeError."""
    from advisor.data.remote import urls
    from advisor.records import recipe_file

    if data is not None and not (run / recipe_file.FILE).is_file():
        return data, ReadOptions()
    recorded = recipe_file.read(run).data
    return data or Path(urls.found_again(recorded.path_hint, run)), recorded.reading or ReadOptions()


def _root(location: Path, options: ReadOptions, paths: Sequence[str]) -> Path:
    """Return the folder from which these paths of images start.

    That is the data set itself or the folder of its table; else what was unpacked or fetched from it.
    """
    from advisor.data import dataset
    from advisor.data.remote import urls

    folder = location.parent if os.path.isfile(location) else location
    if not urls.is_url(location) and any((folder / path).is_file() for path in paths):
        return folder
    try:
        return dataset.find(location, options).root
    except DatasetError:
        return folder


def spread(images: Sequence[T], most: int) -> list[T]:
    """Return at most `most` images, evenly spread over their list."""
    if len(images) <= most:
        return list(images)
    return [images[i * len(images) // most] for i in range(most)] if most > 0 else []


def require(
    predictor: Predictor | EnsemblePredictor,
    compute: ComputeOutputs,
    photos: Sequence[Path],
    *,
    form: str,
    tolerance: float = TOLERANCE,
    progress: NamedProgress | None = None,
) -> Parity:
    """Compare, and return the comparison. Raises CheckError where it does not hold, InputError without readable photos."""
    compared = compare(predictor, compute, photos, tolerance=tolerance, progress=progress)
    if not compared.holds:
        raise CheckError(f"{form} export: {compared.complaint}", hint="Nothing was kept.")
    return compared


def compare(
    predictor: Predictor | EnsemblePredictor,
    compute: ComputeOutputs,
    photos: Sequence[Path],
    *,
    tolerance: float = TOLERANCE,
    progress: NamedProgress | None = None,
) -> Parity:
    """Compare an exported model with the product's own `predict` on the same photos.

    Raises InputError where none of the photos can be read.
    """
    worst, same, n, apart = 0.0, 0, 0, []
    for start in range(0, len(photos), BATCH):
        decoded, readable = squares(predictor, photos[start : start + BATCH])
        if readable:
            predicted = predictor.predict(readable, with_features=True)
            want, (got, features_ND) = predicted.probabilities, compute(decoded)
            if features_ND is not None and predicted.features is not None:
                apart.append(_distance(predicted.features, features_ND))
            worst = max(worst, float(np.abs(want - got).max()))
            same += _agreeing(want, got)
            n += len(readable)
        if progress:
            progress("comparing with predict", min(start + BATCH, len(photos)), len(photos))
    if not n:
        raise InputError("none of the run's images can be read, and an export is compared on real images.")
    return Parity(n=n, agreement=same / n, worst=worst, tolerance=tolerance, features=max(apart, default=None))


def outputs(arrays: Sequence[Any]) -> Outputs:
    """Return a graph's outputs as probabilities in float64 and features, if there are any."""
    return np.asarray(arrays[0], dtype=np.float64), np.asarray(arrays[1]) if len(arrays) > 1 else None


def probabilities_only(compute: ComputeProbabilities) -> ComputeOutputs:
    """Return a function like that of a graph without features."""
    return lambda decoded: (compute(decoded), None)


def _agreeing(want_NK: Float64s, got_NK: Float64s) -> int:
    """Count the images whose first class is that of `predict`, or one that `predict` ties with it within the tolerance.

    Classes that tie are ordered by the last bits: an untrained network gives all images nearly the same probabilities.
    """
    first_N = got_NK.argmax(axis=1)
    return int((want_NK[np.arange(len(first_N)), first_N] >= want_NK.max(axis=1) - 2 * TOLERANCE).sum())


def _distance(first_ND: Float32s, second_ND: Float32s) -> float:
    difference_ND = neighbours.unit(first_ND) - neighbours.unit(second_ND)
    return float(np.linalg.norm(difference_ND, axis=1).max())


def squares(predictor: Predictor | EnsemblePredictor, photos: Sequence[Path]) -> tuple[Pixels, list[Path]]:
    """Return the uint8 squares (N, S, S, 3) that a user of the export would feed, and the photos that could be read."""
    decoded, readable = [], []
    for photo in photos:
        try:
            decoded.append(pixels.decode(photo, predictor.rule))
        except (ValueError, OSError):
            continue  # predict would set it aside as well
        readable.append(photo)
    if not decoded:
        return np.zeros((0, 0, 0, 3), np.uint8), []
    return pixels.centre(np.stack(decoded), predictor.size_px), readable
