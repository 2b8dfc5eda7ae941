"""From images to what a model says of each: decoding in threads, in pieces, so that memory stays bounded.

In: paths, PIL images or arrays, a pixel rule, and a function from squares to probabilities. Out: `Predictions`. What
cannot be read is listed, never fatal. Does NOT cover: the model (`predictor`, `ensemble_predictor`).
Legend: N images, K classes, S side of a square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.aliases import CountProgress
from advisor.data import image_inputs, image_paths, pixels
from advisor.metrics.decision import MOST_PROBABLE, decide
from advisor.records import Unreadable
from advisor.records.objective import DecisionRule
from advisor.runtime import device

DECODED_TOGETHER = 256  # images that are decoded and classified at a time


@dataclass(frozen=True)
class Predictions:
    """What a model says: one row of `probabilities` (N, K) for each of `paths`; files that could not be read apart."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...]
    decision: DecisionRule = MOST_PROBABLE

    def __repr__(self) -> str:
        unreadable = f", {len(self.unreadable)} unreadable" if self.unreadable else ""
        return f"Predictions({len(self.paths)} images, {len(self.classes)} classes{unreadable})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The class decided for each image: the most probable one, unless the model carries another decision rule."""
        return tuple(self.classes[i] for i in decide(self.probabilities, self.decision)) if len(self.paths) else ()


def classify(
    images: Iterable[Any],
    rule: pixels.PixelRule,
    classes: tuple[str, ...],
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    *,
    batch_size: int = DECODED_TOGETHER,
    progress: CountProgress | None = None,
    decision: DecisionRule = MOST_PROBABLE,
) -> Predictions:
    """Decode images and ask `answer` about their squares (N, S, S, 3); it gives probabilities (N, K)."""
    given = _listed(images)
    names: list[str] = []
    broken: list[Unreadable] = []
    parts: list[NDArray[np.float64]] = []
    with ThreadPoolExecutor(max_workers=device.cores()) as pool:
        for start in range(0, len(given), batch_size):
            chunk = given[start : start + batch_size]
            squares = []
            for at, square in enumerate(pool.map(lambda image: _square(image, rule), chunk), start):
                name = image_inputs.name(given[at], at)
                if isinstance(square, str):
                    broken.append(Unreadable(path=name, reason=square))
                else:
                    names.append(name)
                    squares.append(square)
            if squares:
                parts.append(answer(np.stack(squares)))
            if progress is not None:
                progress(min(start + batch_size, len(given)), len(given))
    table = np.concatenate(parts) if parts else np.zeros((0, len(classes)))
    return Predictions(tuple(names), classes, table, tuple(broken), decision)


def _listed(images: Iterable[Any]) -> list[Any]:
    """List the images: one alone counts as a list of one, a folder as all images below it, a file object as its bytes."""
    single = isinstance(images, str | Path | bytes) or hasattr(images, "read") or _is_picture(images)
    listed: list[Any] = []
    for image in [images] if single else images:
        if isinstance(image, str | Path) and Path(image).is_dir():
            listed += image_paths.resolve([str(image)]).paths
        else:
            listed.append(image.read() if hasattr(image, "read") and not _is_picture(image) else image)
    return listed


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
