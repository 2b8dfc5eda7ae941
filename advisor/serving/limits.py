"""What the server accepts: bytes, pixels, images and waiting requests, each with the status code of its refusal."""

from __future__ import annotations

import io
from dataclasses import dataclass

from advisor.data import images
from advisor.data.decoding import decode_limits, pillow_limit
from advisor.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Bounds of one server. `waiting_images` counts images that wait for a decoder or the model, over all requests."""

    body_bytes: int = 32 * 2**20
    images: int = 64  # per request
    pixels: int = 50_000_000  # per image, as its header says
    waiting_images: int = 256
    body_s: float = 30.0  # within which a request's body must have arrived


def check_header(data: bytes, limits: ServerLimits) -> None:
    """Read an image's header and refuse what is no image or has too many pixels, before anything is decoded.

    Raises RequestError with 415 where no decoder knows the bytes, 413 where the image is too large.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise RequestError(415, "the file is empty.")
    try:
        with pillow_limit.replaced(), Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        most = min(limits.pixels, decode_limits.max_pixels())
        raise RequestError(413, f"the image is larger than {most:,} pixels; scale it down.") from None
    except UnidentifiedImageError:
        width, height = _by_extra_reader(data)
    except (OSError, ValueError, SyntaxError, EOFError):
        raise _not_an_image() from None
    if width * height > limits.pixels:
        size = f"{width:,} x {height:,} pixels"
        raise RequestError(413, f"the image has {size}; at most {limits.pixels:,} pixels are accepted.")


def _by_extra_reader(data: bytes) -> tuple[int, int]:
    """Return the size of an image that an extra reads, such as HEIC or DICOM. Raises RequestError with 415."""
    try:
        width, height, _ = images.header(data)
    except ValueError as error:
        if str(error).startswith("decompression bomb"):
            raise RequestError(413, f"{str(error).partition(' (')[0]}; scale the image down.") from None
        if str(error).startswith(("HEIC", "DICOM")):
            raise RequestError(415, f"the image cannot be decoded: {error}.") from None
        raise _not_an_image() from None
    return width, height


def _not_an_image() -> RequestError:
    return RequestError(415, "the file is not an image that can be read; send JPEG, PNG or WebP.")
