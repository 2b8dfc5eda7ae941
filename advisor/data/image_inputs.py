"""Bring an image in any form (file, bytes, PIL image, array) to the square of pixels that a network was trained on.

Uses the decoder and the resizing of training (`images`, `pixels`). Does NOT cover: whole data sets (`pixels.canvas`)
or normalisation (`models.normalise`). Legend: S side of the square.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advisor.data import pixels
from advisor.data.archives import unpacking
from advisor.data.decoding import decode_limits, to_rgb
from advisor.data.images import printable, reason, turned
from advisor.errors import InputError

if TYPE_CHECKING:
    from PIL import Image


def squares(images: Sequence[Any] | NDArray[np.uint8], rule: pixels.PixelRule) -> NDArray[np.uint8]:
    """Convert images to (N, S, S, 3) uint8; an array that already has this shape is returned unchanged.

    Raises InputError naming the image that cannot be read.
    """
    if isinstance(images, np.ndarray) and images.ndim == 4 and images.shape[1] == images.shape[2] == rule.side_px:
        return images
    squares_SS3 = [_named(image, position, rule) for position, image in enumerate(images)]
    side = rule.side_px
    return np.stack(squares_SS3) if squares_SS3 else np.zeros((0, side, side, 3), dtype=np.uint8)


def name(image: Any, position: int) -> str:
    """Return an image's path, or its position where it has none ("#0")."""
    return str(image) if isinstance(image, str | Path) else f"#{position}"


def _named(image: Any, position: int, rule: pixels.PixelRule) -> NDArray[np.uint8]:
    try:
        return square(image, rule)
    except ValueError as error:
        raise InputError(f"{printable(unpacking.given(name(image, position)))} cannot be read: {error}.") from error


def square(image: Any, rule: pixels.PixelRule) -> NDArray[np.uint8]:
    """Resize one image to the square of the rule, as training does.

    `image` is a path, the bytes of a file, a PIL image or an (H, W, 3) uint8 array.
    Raises ValueError with a short reason.
    """
    if isinstance(image, str | bytes | Path):
        return pixels.decode(image, rule)
    return pixels.fitted(_opened(image, rule), rule)


def _opened(image: Any, rule: pixels.PixelRule) -> Image.Image:
    """Convert an image in memory to RGB as a viewer shows it: EXIF orientation applied, transparency over white."""
    from PIL import Image

    if 0 in getattr(image, "size" if isinstance(image, Image.Image) else "shape", ()):
        raise ValueError("an image without pixels")
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image array must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
        return Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise ValueError(f"expected a path, a PIL image or an array, got {type(image).__name__}")
    try:
        image.load()
        return to_rgb.convert(turned(image), rule.value_range)
    except Exception as error:  # a damaged file that was opened, but not read yet, can raise nearly anything
        if decode_limits.is_passing(error):
            raise
        raise ValueError(reason(error)) from error
