"""One image file: what its header says, and its pixels as a viewer would show them.

In: a path or the file's bytes. Out: (width, height, mode) or an RGB image. Covered: EXIF orientation, transparency and
palettes over white, 16-bit and float samples scaled to 8 bits, CMYK, first frame of animations, decompression bombs.
Not covered: resizing (`pixels`), colour profiles (ignored, as in torchvision), formats that run other programs
(PostScript and the like are refused). Pillow is imported inside functions: help and listings do not need it.
"""

from __future__ import annotations

import functools
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = (
    "jpg jpeg jpe jfif png apng gif webp avif avifs heic heif bmp dib tif tiff ppm pgm pbm pnm pfm tga jp2 j2k jpc jpf "
    "jpx ico icns pcx sgi rgb bw ras dds qoi xbm xpm mpo psd"
)
IMAGE_SUFFIXES = frozenset("." + name for name in _SUFFIXES.split())
MAX_PIXELS = 178_956_970  # Pillow's own limit for an error: 512 MB of RGB; a larger header is taken for a bomb

# Formats that Pillow hands to another program or that are no pictures; a renamed .eps must not start Ghostscript.
_REFUSED = frozenset({"EPS", "PDF", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS", "FPX", "MIC", "MCIDAS", "GBR"})
_COMMON = ("JPEG", "PNG", "GIF", "BMP", "PPM")  # what Pillow knows without importing its forty other plugins
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_ORIENTATION = 0x0112

Source = str | Path | bytes


def header(source: Source) -> tuple[int, int, str]:
    """Read width, height (as displayed, orientation applied) and Pillow's mode without decoding.

    Raises ValueError with a short reason where the file is no readable image or is a decompression bomb.
    """
    with _opened(source) as image:
        width, height = image.size
        if _orientation(image) in _TURNED:
            width, height = height, width
        return width, height, image.mode


def open_rgb(source: Source, *, draft_px: int = 0) -> Image.Image:
    """Decode to an 8-bit RGB image as a viewer would show it.

    `draft_px` above 0 lets a JPEG be decoded at a reduced scale whose short side is still at least that many pixels:
    several times faster, for thumbnails only. Raises ValueError with a short reason where the file cannot be decoded
    to its end.
    """
    from PIL import ImageOps

    with _opened(source) as image:
        if draft_px and image.format == "JPEG":
            _draft(image, draft_px)
        try:
            image.load()
            turned = ImageOps.exif_transpose(image) if _orientation(image) > 1 else image
            rgb = _to_rgb(turned)
        except Exception as error:  # a damaged file can raise nearly anything from a decoder
            raise ValueError(reason(error)) from error
        return rgb.copy() if rgb is image else rgb


def reason(error: BaseException) -> str:
    """Say in a few words why an image could not be read, without addresses or temporary names."""
    text = " ".join(str(error).split())
    if "cannot identify" in text:
        return "not an image that Pillow can read"
    if isinstance(error, FileNotFoundError):
        return "file not found"
    if isinstance(error, PermissionError):
        return "permission denied"
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "truncated: the file ends before the image does"
    if "decompression bomb" in text.lower() or "exceeds limit" in text.lower():
        return f"decompression bomb: more than {MAX_PIXELS:,} pixels"
    text = re.sub(r"<[^>]*>|0x[0-9a-f]+", "", text).strip()
    return text or type(error).__name__


def printable(path: str) -> str:
    """Make a path with bytes that are no UTF-8 (surrogate escapes) safe to print and to put into JSON or YAML."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's own warnings (large image, odd EXIF) around a scan: what matters is reported by us."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL(\..*)?$")
        yield


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    from PIL import Image

    stream: io.IOBase | None = None
    try:
        if isinstance(source, bytes):
            if not source:
                raise ValueError("empty file (0 bytes)")
            stream = io.BytesIO(source)
        else:
            stream = _open_file(source)
        image = _identify(Image, stream)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"decompression bomb: {width} x {height} pixels")
        if width < 1 or height < 1:
            raise ValueError(f"no pixels: {width} x {height}")
    except ValueError:
        _close(stream)
        raise
    except Exception as error:  # a damaged header can raise nearly anything from a decoder
        _close(stream)
        raise ValueError(reason(error)) from error
    try:
        yield image
    finally:
        _close(stream)


def _open_file(path: str | Path) -> io.IOBase:
    # A named pipe called x.jpg would block for ever.
    if not os.path.isfile(path):
        raise FileNotFoundError(path) if not os.path.lexists(path) else ValueError("not a regular file")
    if os.path.getsize(path) == 0:
        raise ValueError("empty file (0 bytes)")
    return open(path, "rb")


def _close(stream: io.IOBase | None) -> None:
    if stream is not None:
        stream.close()


def _identify(pillow: object, stream: io.IOBase) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(stream, formats=_COMMON)  # type: ignore[arg-type]
    except UnidentifiedImageError:
        return Image.open(stream, formats=_formats())  # type: ignore[arg-type]


@functools.cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in _REFUSED)


def _orientation(image: Image.Image) -> int:
    # getexif() of a PNG without an early EXIF chunk would decode the whole image to look for a late one.
    if "exif" not in image.info and image.format not in ("TIFF", "MPO"):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF must not cost the image: a viewer shows it unturned
        return 1


def _draft(image: Image.Image, short_px: int) -> None:
    width, height = image.size
    scale = min(width, height) / short_px
    if scale >= 2:
        # Pillow picks the smallest of 1/1, 1/2, 1/4, 1/8 that is not smaller than what is asked for.
        image.draft("RGB", (int(width / scale), int(height / scale)))


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        image = _scaled(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and float samples to 0..255."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        values = values / 257.0  # 65535 / 255
    elif image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255.0
    elif low >= 0 and high <= 255:
        pass  # 8-bit values in a wider container
    elif image.mode == "I" and low >= 0 and high <= 65535:
        values = values / 257.0
    else:
        values = (values - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
