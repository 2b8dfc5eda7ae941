"""Whether a small region decides a class: a watermark, a ruler, a label on the slide, instead of the thing itself.

In: a model, images of one class that it recognises with the maps of where it looks, and images of other classes. Out: how
many of the others become this class when the hottest small window is put into them. A part of a true object rarely turns
another image into its class; what does is a shortcut. Does NOT cover: shortcuts that fill the image (background, blur).
Source: the model's answer to a transplanted patch, as in Brown et al. 2017 (1712.09665), with patches of the data's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advisor.aliases import Floats, Ints, Pixels

SIDE = 0.25  # of the image: the window is a sixteenth of its area
SHARE = 0.5  # of the other images that must change, before it is called a shortcut (docs/insight.md)
FEWEST = 4  # images of the class, and others, below which nothing is stated
Classify = Callable[[Pixels], Ints]  # squares (N, S, S, 3) -> the class of each


@dataclass(frozen=True, kw_only=True)
class Influence:
    """The share (0..1) of `others` images of other classes that are taken for a class once a window of one of its `images`
    images is put into them."""

    transplanted: float
    images: int
    others: int

    @property
    def is_shortcut(self) -> bool:
        """Whether the window alone decides the class for most images."""
        return min(self.images, self.others) >= FEWEST and self.transplanted >= SHARE


def measure(classify: Classify, label: int, squares_NSS3: Pixels, maps_NSS: Floats, others_MSS3: Pixels) -> Influence:
    """Copy the hottest window of images of a class into images of other classes, at its place, and ask the model.

    All images are ones that the model answers rightly. Image i modulo N lends its window to other image i.
    """
    side = max(2, round(SIDE * squares_NSS3.shape[1])) if len(squares_NSS3) else 2
    corners = [hottest(map_SS, side) for map_SS in maps_NSS]
    changed = np.array(others_MSS3)
    for at, image in enumerate(changed if corners else ()):
        top, left = corners[at % len(corners)]
        window = squares_NSS3[at % len(corners), top : top + side, left : left + side]
        image[top : top + side, left : left + side] = window
    return Influence(
        transplanted=float((classify(changed) == label).mean()) if len(changed) and corners else 0.0,
        images=len(squares_NSS3),
        others=len(others_MSS3),
    )


def hottest(map_SS: Floats, side: int) -> tuple[int, int]:
    """Return the top left corner of the window of this side with the largest sum."""
    sums = np.pad(np.asarray(map_SS, dtype=np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(top), int(left)
