"""Any mode of Pillow -> 8-bit RGB, in strips, so that the conversion takes little memory beside the image itself.

Transparency is shown over white. Samples of more than 8 bits are scaled from a range that is found over a data set
(`common_range`) and kept with the model, so that an image looks the same in training and at prediction. Without a range
each image is scaled by its type: 16-bit by 257, floats in 0..1 by 255, others between their extremes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from advisor.records.data import ValueRange

if TYPE_CHECKING:
    from PIL import Image

_STRIP_PIXELS = 1 << 20
_BITS = (8, 10, 12, 14, 16)
_DARK = 1 / 16  # a file whose largest sample is below this share of the range keeps fewer than 16 grey levels
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


def is_deep(mode: str) -> bool:
    """Return True for modes with more than 8 bits per sample in one channel."""
    return mode.startswith("I") or mode == "F"


def convert(image: Image.Image, value_range: ValueRange | None = None) -> Image.Image:
    """Return a loaded image as RGB; an RGB image without transparency is returned itself."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if is_deep(image.mode):
        return _scaled(image, value_range or own_range(image)).convert("RGB")
    if image.mode not in _ALPHA and "transparency" not in image.info:
        return image.convert("RGB")
    rgb = Image.new("RGB", image.size)
    for box in _strips(image):
        strip = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        rgb.paste(Image.alpha_composite(white, strip).convert("RGB"), box[:2])
    return rgb


def extremes(image: Image.Image) -> ValueRange:
    """Return the smallest and largest finite sample; (0, 0) where none is finite."""
    low, high = np.inf, -np.inf
    for box in _strips(image):
        values = np.asarray(image.crop(box), dtype=np.float64)
        values = values[np.isfinite(values)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def own_range(image: Image.Image) -> ValueRange:
    """Return the range by which one image is scaled where none is known for the data set."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return 0.0, 65535.0
    low, high = extremes(image)
    if image.mode == "F" and low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and high <= 255:
        return 0.0, 255.0
    return (0.0, 65535.0) if image.mode == "I" and low >= 0 and high <= 65535 else (low, high)


def common_range(ranges: Sequence[ValueRange], *, is_float: bool) -> ValueRange | None:
    """Return one range for all deep images of a data set, from the extremes of each; None where there are none.

    Whole numbers from 0: the smallest usual bit depth (8, 10, 12, 14, 16) that holds the largest sample. Floats in 0..1
    and 0..255 keep their meaning. Anything else: the extremes.
    """
    if not ranges:
        return None
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    if is_float and low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and high <= 65535 and not is_float:
        return 0.0, float(next(2**bits - 1 for bits in _BITS if high <= 2**bits - 1))
    if low >= 0 and high <= 255:
        return 0.0, 255.0
    return low, max(high, low + 1e-6)


def dark(ranges: Sequence[ValueRange], common: ValueRange) -> int:
    """Count the images that would be nearly black in the common range: they disagree with the others."""
    low, high = common
    return sum(value_range[1] - low < _DARK * (high - low) for value_range in ranges)


def _scaled(image: Image.Image, value_range: ValueRange) -> Image.Image:
    from PIL import Image

    low, high = value_range
    grey = Image.new("L", image.size)
    for box in _strips(image):
        values: NDArray[np.float64] = np.asarray(image.crop(box), dtype=np.float64)
        values = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255.0 / max(high - low, 1e-12))
        grey.paste(Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)), box[:2])
    return grey


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    rows = max(1, _STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(image.height, top + rows)
