"""Uncompressed TIFF files in YCbCr, which Pillow before 13 reads with four bytes per pixel where the file has three.

In: an opened image. Out: the same image, with its tiles as Pillow 13 states them. There such a file is "truncated", or,
where other bytes follow the pixels, shown with wrong colours. Does NOT cover: compressed files (libtiff reads them rightly).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_PHOTOMETRIC, _SAMPLES_PER_PIXEL, _YCBCR = 262, 277, 6


def mend_ycbcr(image: Image.Image) -> None:
    """Name the samples of an opened, not yet decoded TIFF of three uncompressed YCbCr samples as such; leave any other."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or tags.get(_PHOTOMETRIC) != _YCBCR or tags.get(_SAMPLES_PER_PIXEL) != 3:
        return
    tiles = getattr(image, "tile", [])
    if not all(codec == "raw" and arguments[0] == "RGBX" for codec, _, _, arguments in tiles):
        return
    image.tile = [(codec, box, at, ("YCbCr", *arguments[1:])) for codec, box, at, arguments in tiles]  # type: ignore[attr-defined]
    image._mode = "YCbCr"
