"""A map of where a model looks, drawn over the image in warm colours, as PNG or JPEG bytes.

In: a square as the model sees it and a map in 0..1 (`attention`). Out: bytes. Does NOT cover: where they are shown.
"""

from __future__ import annotations

import io

import numpy as np

from advisor.aliases import Floats, Pixels

STRONGEST = 0.62  # share of the colour where the map is 1
_STOPS = np.array([[30, 20, 90], [150, 30, 110], [240, 90, 40], [255, 220, 90]], dtype=np.float64)  # cold to warm


def blend(square_SS3: Pixels, map_SS: Floats) -> Pixels:
    """Return the square with the map over it; where the map is 0 the image is grey and darker, so that colour means it."""
    heat = np.clip(np.asarray(map_SS, dtype=np.float64), 0.0, 1.0)
    at = heat * (len(_STOPS) - 1)
    low = np.minimum(at.astype(np.int64), len(_STOPS) - 2)
    colour = _STOPS[low] + (at - low)[..., None] * (_STOPS[low + 1] - _STOPS[low])
    grey = square_SS3.mean(axis=2, keepdims=True).repeat(3, axis=2)
    share = (STRONGEST * heat)[..., None]
    return np.asarray(np.clip((1 - share) * (0.25 * square_SS3 + 0.65 * grey) + share * colour, 0, 255), dtype=np.uint8)


def picture(square_SS3: Pixels, map_SS: Floats, *, side_px: int | None = None, form: str = "JPEG") -> bytes:
    """Encode the square with its map; `side_px` is the largest side of the picture, by default the image's own."""
    from PIL import Image

    image = Image.fromarray(blend(square_SS3, map_SS))
    if side_px is not None:
        image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, form, **({"quality": 80} if form == "JPEG" else {}))
    return stream.getvalue()
