"""Which unlabelled images a person should label next, by what a run's model says of them.

In: a predictor, image paths. Out: images that the model is unsure of and that differ from each other, best first, and apart
from them images that are unlike all training images. Images that the run has used already are left out. Does NOT cover: the
ranking (`insight.label_next`), whether labelling them helps (docs/insight.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from advisor.aliases import CountProgress
from advisor.data import changes, image_paths
from advisor.errors import InputError
from advisor.insight import label_next
from advisor.models import ensemble_predictor
from advisor.models.ensemble_predictor import EnsemblePredictor
from advisor.models.predictor import Predictor
from advisor.records import Compute, Unreadable


@dataclass(frozen=True, kw_only=True)
class NextImage:
    """An image to label: the class that the model would answer, its probability, and how undecided the model is between
    the first two classes (0 sure, 1 undecided). `unlike` is as in `predict`, None without an index."""

    path: str
    suggested: str
    probability: float
    uncertainty: float
    unlike: float | None


@dataclass(frozen=True, kw_only=True)
class NextImages:
    """`ranked` images, the most useful first, and images `apart` that are unlike the training images, most unlike first.

    `examined` images were compared; `used` more are among the run's own images and were left out.
    """

    run: str
    examined: int
    used: int
    ranked: tuple[NextImage, ...]
    apart: tuple[NextImage, ...]
    apart_in_all: int
    unreadable: tuple[Unreadable, ...]

    def __repr__(self) -> str:
        return f"NextImages({len(self.ranked)} ranked, {len(self.apart)} apart, of {self.examined} images)"


def choose(
    predictor: Predictor | EnsemblePredictor,
    run: Path,
    paths: Sequence[str],
    count: int,
    *,
    compute: Compute | None = None,
    progress: CountProgress | None = None,
) -> NextImages:
    """Rank unlabelled images; at most `count` in each of the two lists. Raises InputError where no image is left."""
    used_contents = changes.listed(run / "splits.csv")
    fresh = [path for path in paths if changes.content(Path(path)) not in used_contents]
    if not fresh:
        raise InputError(
            f"all {len(paths)} images are among those of {run} already.", hint="Name a folder of images without labels."
        )
    answers = predictor.predict(fresh, compute=compute, progress=progress, with_features=True)
    if not answers.paths or answers.features is None:
        raise InputError("none of the images can be read.", hint="Check the files.")
    doubt_M = label_next.uncertainty(answers.probabilities)
    smallest = 0.0 if predictor.index is None else predictor.index.smallest_rate
    novel = max(label_next.NOVEL, smallest)  # few known images allow no smaller p-value
    order = label_next.rank(answers.probabilities, answers.features, count, p_values_M=answers.unlike, novel=novel)
    apart = np.zeros(0, dtype=np.int64) if answers.unlike is None else label_next.apart(answers.unlike, novel=novel)

    def described(row: int) -> NextImage:
        best = int(answers.probabilities[row].argmax())
        return NextImage(
            path=answers.paths[row],
            suggested=answers.classes[best],
            probability=float(answers.probabilities[row, best]),
            uncertainty=float(doubt_M[row]),
            unlike=None if answers.unlike is None else float(answers.unlike[row]),
        )

    return NextImages(
        run=str(run),
        examined=len(answers.paths),
        used=len(paths) - len(fresh),
        ranked=tuple(described(int(row)) for row in order),
        apart=tuple(described(int(row)) for row in apart[:count]),
        apart_in_all=len(apart),
        unreadable=answers.unreadable,
    )


def of_run(
    predictor: Predictor | EnsemblePredictor,
    run: str | PathLike[str],
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    count: int,
) -> NextImages:
    """Return the images to label next among files, folders and patterns, as `choose`. Raises InputError."""
    named = [images] if isinstance(images, str | PathLike) else list(images)
    selection = image_paths.resolve([os.fspath(name) for name in named])
    result = choose(predictor, ensemble_predictor.run_of(run), selection.paths, count)
    return replace(result, unreadable=(*selection.unlisted, *result.unreadable))
