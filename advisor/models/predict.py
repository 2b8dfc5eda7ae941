"""From images to what a model says of each: decoding in threads, in pieces, so that memory stays bounded.

In: paths, PIL images or arrays, and a model. Out: `Predictions`. What cannot be read is listed, never fatal.
Does NOT cover: the model (`predictor`, `ensemble_predictor`), novelty (`metrics.novelty`).
Legend: N images, K classes, D features, S side of a square.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advisor.aliases import CountProgress
from advisor.data import image_inputs, image_paths, pixels
from advisor.errors import InputError
from advisor.metrics.decision_rule import MOST_PROBABLE, decide
from advisor.metrics.novelty import NoveltyIndex
from advisor.models import inference
from advisor.records import Compute, Unreadable
from advisor.records.objective import DecisionRule
from advisor.runtime import device

if TYPE_CHECKING:
    from advisor.models.ensemble_predictor import EnsemblePredictor
    from advisor.models.predictor import Predictor

DECODED_TOGETHER = 256  # images that are decoded and classified at a time
UNKNOWN = "unknown"  # the answer for an image that is unlike the training images
LIMIT = "A new class that resembles a known one is not caught by this."


@dataclass(frozen=True)
class SquareOutputs:
    """What a model says of N images: `probabilities` (N, K); `unlike` (N,), for each image the share of known images that
    are as unlike the training images, above 0 to 1, None without an index; `features` (N, D), None unless wanted."""

    probabilities: NDArray[np.float64]
    unlike: NDArray[np.float64] | None = None
    features: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Predictions:
    """What a model says: one row of `probabilities` (N, K) for each of `paths`; files that could not be read apart.

    `unlike` (N,) is the share of known images that are as unlike the training images as each one: small where the image
    is unlike them, None where the model has no index. Where it is at most `abstain`, the label is "unknown".
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...]
    decision: DecisionRule = MOST_PROBABLE
    unlike: NDArray[np.float64] | None = None
    abstain: float | None = None
    features: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        unreadable = f", {len(self.unreadable)} unreadable" if self.unreadable else ""
        return f"Predictions({len(self.paths)} images, {len(self.classes)} classes{unreadable})"

    @property
    def decided(self) -> tuple[str, ...]:
        """The class decided for each image: the most probable one, unless the model carries another decision rule."""
        return tuple(self.classes[i] for i in decide(self.probabilities, self.decision)) if len(self.paths) else ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The class decided for each image, or "unknown" where it is so unlike the training images that the model was
        asked to abstain."""
        if self.unlike is None or self.abstain is None:
            return self.decided
        both = zip(self.decided, self.unlike, strict=True)
        return tuple(UNKNOWN if share <= self.abstain else name for name, share in both)


def json_row(path: str, best: Sequence[tuple[str, float]], label: str, unlike: float | None) -> dict[str, Any]:
    """Return one image as `predict --json` and the server show it: `best` are classes with probabilities, decided first.

    `label` is what the image is called: the decided class, "unsure" or "unknown".
    """
    return {
        "path": path,
        "class": best[0][0],
        "probability": best[0][1],
        "label": label,
        **({} if unlike is None else {"unlike": unlike}),
        "top": [{"class": name, "probability": probability} for name, probability in best],
    }


def json_document(
    classes: Sequence[str], rows: Sequence[dict[str, Any]], unreadable: Sequence[Unreadable]
) -> dict[str, Any]:
    """Return what `predict --json` and the server answer: rows of `json_row`, and the files that could not be read."""
    skipped = [{"path": file.path, "reason": file.reason} for file in unreadable]
    return {"schema": 1, "classes": list(classes), "predictions": list(rows), "unreadable": skipped}


def check_abstain(index: NoveltyIndex | None, rate: float | None) -> None:
    """Raise InputError where a model cannot abstain at this false-alarm rate: no index, or too few known images."""
    if rate is None:
        return
    if index is None:
        raise InputError(
            "this model cannot tell images that are unlike its training images: it has no index of them.",
            hint="Runs and `tl-advise rerun --out` write one where time and images are enough.",
        )
    if not index.smallest_rate <= rate < 1.0:
        raise InputError(
            f"abstaining at a rate of {rate:g} is not possible: {len(index.known_R)} images set the scale.",
            hint=f"Choose a rate from {index.smallest_rate:.2g} to below 1, such as {max(0.05, index.smallest_rate):.2g}.",
        )


def classify(
    model: Predictor | EnsemblePredictor,
    images: Iterable[Any],
    *,
    abstain: float | None,
    batch_size: int,
    compute: Compute | None,
    progress: CountProgress | None,
    with_features: bool,
) -> Predictions:
    """Decode images and classify their squares (N, S, S, 3). Raises InputError where the model cannot abstain."""
    check_abstain(model.index, abstain)
    listed, broken = _listed(images)
    names: list[str] = []
    parts: list[SquareOutputs] = []
    with ThreadPoolExecutor(max_workers=device.cores()) as pool:
        for start in range(0, len(listed), batch_size):
            chunk = listed[start : start + batch_size]
            squares = []
            for at, square in enumerate(pool.map(lambda image: _square(image, model.rule), chunk), start):
                name = image_inputs.name(listed[at], at)
                if isinstance(square, str):
                    broken.append(Unreadable(path=name, reason=square))
                else:
                    names.append(name)
                    squares.append(square)
            if squares:
                sizes = inference.small_batches(len(squares))
                canvas = np.stack(squares)
                parts.append(model.answers(canvas, compute=compute, sizes=sizes, with_features=with_features))
            if progress is not None:
                progress(min(start + batch_size, len(listed)), len(listed))
    return Predictions(
        tuple(names),
        model.classes,
        np.concatenate([part.probabilities for part in parts]) if parts else np.zeros((0, len(model.classes))),
        tuple(broken),
        model.decision,
        _joined([part.unlike for part in parts]),
        abstain,
        _joined([part.features for part in parts]),
    )


def _joined(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    arrays = [part for part in parts if part is not None]
    return np.concatenate(arrays) if arrays else None


def _listed(images: Iterable[Any]) -> tuple[list[Any], list[Unreadable]]:
    """List the images, and folders that cannot be listed.

    One image alone counts as a list of one, a folder as all images below it, a file object as its bytes.
    """
    single = isinstance(images, str | Path | bytes) or hasattr(images, "read") or _is_picture(images)
    listed: list[Any] = []
    unlisted: list[Unreadable] = []
    for image in [images] if single else images:
        if isinstance(image, str | Path) and os.path.isdir(
            image
        ):  # unlike Path.is_dir, False for a name that is too long
            selection = image_paths.resolve([str(image)])
            listed += selection.paths
            unlisted += selection.unlisted
        else:
            listed.append(image.read() if hasattr(image, "read") and not _is_picture(image) else image)
    return listed, unlisted


def _is_picture(image: Any) -> bool:
    """Return True for a PIL image, or an array that is one picture (H, W, 3) and not a batch of them."""
    if isinstance(image, np.ndarray):
        return bool(image.ndim == 3)
    return hasattr(image, "getexif")


def _square(image: Any, rule: pixels.PixelRule) -> NDArray[np.uint8] | str:
    try:
        return image_inputs.square(image, rule)
    except ValueError as error:
        return str(error)
