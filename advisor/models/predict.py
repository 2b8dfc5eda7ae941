"""From images to what a model says of each: decoding in threads, in pieces, so that memory stays bounded.

In: paths, PIL images or arrays, a pixel rule, and a function from squares to probabilities. Out: `Predictions`. What
cannot be read is listed, never fatal. Does NOT cover: the model (`model`, `averaged`).
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
from advisor.data import image_inputs, pixels
from advisor.records import Unreadable
from advisor.runtime import device

_DECODED_TOGETHER = 256


@dataclass(frozen=True)
class Predictions:
    """What a model says: one row of `probabilities` (N, K) for each of `paths`; files that could not be read apart."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The likeliest class of each image."""
        return tuple(self.classes[i] for i in self.probabilities.argmax(axis=1)) if len(self.paths) else ()


def classify(
    images: Iterable[Any],
    rule: pixels.PixelRule,
    classes: tuple[str, ...],
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    *,
    progress: CountProgress | None = None,
) -> Predictions:
    """Decode images and ask `answer` about their squares (N, S, S, 3); it gives probabilities (N, K)."""
    given = list(images) if not isinstance(images, str | Path) else [images]
    names: list[str] = []
    broken: list[Unreadable] = []
    parts: list[NDArray[np.float64]] = []
    with ThreadPoolExecutor(max_workers=device.cores()) as pool:
        for start in range(0, len(given), _DECODED_TOGETHER):
            chunk = given[start : start + _DECODED_TOGETHER]
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
                progress(min(start + _DECODED_TOGETHER, len(given)), len(given))
    table = np.concatenate(parts) if parts else np.zeros((0, len(classes)))
    return Predictions(tuple(names), classes, table, tuple(broken))


def _square(image: Any, rule: pixels.PixelRule) -> NDArray[np.uint8] | str:
    try:
        return image_inputs.square(image, rule)
    except ValueError as error:
        return str(error)
