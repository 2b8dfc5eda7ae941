"""Read one image file: what its header states, and its pixels as a viewer shows them.

In: a path or the file's bytes. Out: (width, height, mode) or an RGB image. Covered: EXIF orientation, transparency and
palettes over white, 16-bit and float samples scaled to 8 bits by a given range, CMYK, first frame of animations,
decompression bombs, failures that say nothing about the file. Does NOT cover: resizing (`pixels`), colour profiles (ignored,
as in torchvision), formats that run other programs (PostScript and the like are refused). Pillow is imported inside
functions: help and listings do not need it.
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

from advisor.data.archives import unpacking
from advisor.data.decoding import decode_limits, pillow_limit, tiff, to_rgb
from advisor.errors import TransientReadError
from advisor.records.data import ValueRange

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = (
    "jpg jpeg jpe jfif png apng gif webp avif avifs heic heif bmp dib tif tiff ppm pgm pbm pnm pfm tga jp2 j2k jpc jpf "
    "jpx ico icns pcx sgi rgb bw ras dds qoi xbm xpm mpo psd dcm dicom"
)
IMAGE_SUFFIXES = frozenset("." + name for name in _SUFFIXES.split())
# Formats that Pillow hands to another program or that are no images; a renamed .eps must not start Ghostscript.
_REFUSED = frozenset({"EPS", "PDF", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS", "FPX", "MIC", "MCIDAS", "GBR"})
_COMMON = ("JPEG", "PNG", "GIF", "BMP", "PPM")  # what Pillow reads without importing its forty other plugins
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_ORIENTATION = 0x0112
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"heif", b"mif1", b"msf1")

Source = str | Path | bytes


def header(source: Source) -> tuple[int, int, str]:
    """Return width, height (as displayed, orientation applied) and mode without decoding.

    The mode is Pillow's, with ";16" where colour samples of 16 bits are read with their upper 8 bits only, and ";window"
    where a DICOM file's own window made the grey values. Raises
    ValueError with a short reason where the file is no readable image or is a decompression bomb, TransientReadError
    where a passing cause kept it from being read.
    """
    with _opened(source) as image:
        width, height = image.size
        if _orientation(image) in _TURNED:
            width, height = height, width
        remark = ";16" if _has_deep_colour(image) else ";window" if "dicom_window" in image.info else ""
        return width, height, image.mode + remark


@contextmanager
def decoded_rgb(
    source: Source, *, draft_px: int = 0, draft_above: int = 0, value_range: ValueRange | None = None
) -> Iterator[Image.Image]:
    """Decode to an 8-bit RGB image as a viewer shows it, within the memory bound of `decode_limits` while it is open.

    `draft_px` above 0 lets a JPEG of more than `draft_above` pixels be decoded at a reduced scale whose short side is still
    at least `draft_px`: several times faster. `value_range` is what 16-bit and float samples are scaled from; without
    it, each image is scaled by its own type. Raises ValueError with a short reason where the file cannot be decoded to
    its end, TransientReadError where a passing cause kept it from being decoded.
    """
    with _opened(source) as image:
        if draft_px and image.format == "JPEG" and image.width * image.height > draft_above:
            _draft(image, draft_px)
        size_bytes = decode_limits.peak_bytes(*image.size, image.format) + (
            len(source) if isinstance(source, bytes) else 0
        )
        with decode_limits.reserved(size_bytes):
            try:
                image.load()
                rgb = to_rgb.convert(turned(image), value_range)
            except Exception as error:  # a damaged file can raise nearly anything from a decoder
                raise _failure(error, source, size_bytes) from error
            yield rgb


def turned(image: Image.Image) -> Image.Image:
    """Return a loaded image turned as its EXIF says; an orientation that stands in XMP alone is ignored."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _orientation(image) > 1 else image


def open_rgb(source: Source, *, draft_px: int = 0, value_range: ValueRange | None = None) -> Image.Image:
    """Return the image of `decoded_rgb`, outside of the memory bound: for single images."""
    with decoded_rgb(source, draft_px=draft_px, value_range=value_range) as rgb:
        return rgb.copy()


def sample_range(source: Source) -> ValueRange | None:
    """Return the smallest and largest finite sample of a 16-bit, 32-bit or float image, None for 8-bit images.

    Raises ValueError and TransientReadError as `decoded_rgb` does.
    """
    with _opened(source) as image:
        if not to_rgb.is_deep(image.mode):
            return None
        size_bytes = decode_limits.peak_bytes(*image.size, image.format)
        with decode_limits.reserved(size_bytes):
            try:
                image.load()
                return to_rgb.extremes(image)
            except Exception as error:
                raise _failure(error, source, size_bytes) from error


def reason(error: BaseException) -> str:
    """Return in a few words why an image could not be read, without addresses or temporary names."""
    text = " ".join(str(error).split())
    if "cannot identify" in text:
        return "not an image that Pillow can read"
    if isinstance(error, FileNotFoundError):
        return "file not found"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, MemoryError):
        return "not enough memory"
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "truncated: the file ends before the image does"
    if "decompression bomb" in text.lower() or "exceeds limit" in text.lower():
        most = f"{decode_limits.max_pixels():,} pixels"
        return f"decompression bomb: more than {most} (raise the limit with {decode_limits.RAISED_BY})"
    text = re.sub(r"<[^>]*>|0x[0-9a-f]+", "", text).strip()
    return text or type(error).__name__


def printable(path: str) -> str:
    """Return a path with bytes that are not UTF-8 (surrogate escapes) escaped, to print it or put it into JSON or YAML."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's own warnings (odd EXIF) during a scan."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL(\..*)?$")
        yield


def transient(error: BaseException, path: str) -> TransientReadError:
    """Return the error for a file that a passing cause kept from being read."""
    return TransientReadError(
        f"{printable(unpacking.given(path))} could not be read: {reason(error)}. Nothing is known to be wrong with the file.",
        hint="Free memory or file descriptors, or check the disk, and run the command again.",
    )


def _failure(error: Exception, source: Source, size_bytes: int) -> Exception:
    """Return the error to raise for a failure of a decoder: a passing one, or a ValueError with a short reason."""
    if isinstance(error, TransientReadError):
        return error
    if decode_limits.is_passing(error) or decode_limits.memory_is_short(size_bytes):
        return transient(error, "an image" if isinstance(source, bytes) else str(source))
    return ValueError(reason(error))


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    with pillow_limit.replaced(), _identified(source) as image:
        yield image


@contextmanager
def _identified(source: Source) -> Iterator[Image.Image]:
    stream: io.IOBase | None = None
    try:
        if isinstance(source, bytes):
            if not source:
                raise ValueError("empty file (0 bytes)")
            stream = io.BytesIO(source)
        else:
            stream = _open_file(source)
        image = _identify(stream)
        tiff.mend_ycbcr(image)
        width, height = image.size
        if width * height > decode_limits.max_pixels():
            raise ValueError(
                f"decompression bomb: {width} x {height} pixels (raise the limit with {decode_limits.RAISED_BY})"
            )
        if width < 1 or height < 1:
            raise ValueError(f"no pixels: {width} x {height}")
    except ValueError:
        _close(stream)
        raise
    except Exception as error:  # a damaged header can raise nearly anything from a decoder
        _close(stream)
        # WebP decodes when it is opened, before its size is known.
        needed = 1 << 29 if "could not create decoder" in str(error) else 1 << 24
        raise _failure(error, source, needed) from error
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


def _identify(stream: io.IOBase) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(stream, formats=_COMMON)  # type: ignore[arg-type]
    except UnidentifiedImageError:
        pass
    stream.seek(0)
    start = stream.read(132)
    stream.seek(0)
    if start.startswith(b"version https://git-lfs"):
        raise ValueError("a Git LFS pointer instead of the image: run `git lfs pull`")
    if start[128:132] == b"DICM":
        from advisor.data.decoding import dicom

        return dicom.opened(stream)
    heif = start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS
    try:
        return Image.open(stream, formats=_formats())  # type: ignore[arg-type]
    except UnidentifiedImageError:
        if heif and not _has_heif():
            raise ValueError("HEIC: install the reader (pip install 'tl-advise[heif]'), or convert to JPEG") from None
        raise


@functools.cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    _has_heif()
    return tuple(name for name in Image.ID if name not in _REFUSED)


@functools.cache
def _has_heif() -> bool:
    """Register the HEIC reader where pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _orientation(image: Image.Image) -> int:
    # Pillow turns TIFF files itself while it loads them, and states their size as displayed.
    # getexif() of a PNG without an early EXIF chunk would decode the whole image to look for a late one.
    if image.format == "TIFF" or ("exif" not in image.info and image.format != "MPO"):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF must not cost the image: a viewer shows it unturned
        return 1


def _has_deep_colour(image: Image.Image) -> bool:
    if image.mode not in ("RGB", "RGBA", "LA", "CMYK"):
        return False
    codecs = [
        str(tile[3][0] if isinstance(tile[3], tuple) else tile[3]) for tile in getattr(image, "tile", ()) if tile[3]
    ]
    return any(";16" in codec for codec in codecs)


def _draft(image: Image.Image, short_px: int) -> None:
    width, height = image.size
    scale = min(width, height) / short_px
    if scale >= 2:
        # Pillow picks the smallest of 1/1, 1/2, 1/4, 1/8 that is not smaller than what is requested.
        image.draft("RGB", (int(width / scale), int(height / scale)))
