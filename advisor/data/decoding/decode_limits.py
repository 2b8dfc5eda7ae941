"""Bounds of decoding: pixels per image, bytes over all threads, and which failures are passing ones.

The bound: all images that a process decodes at one time take at most `total_bytes()`, 12 bytes for each pixel that one
image may have: 2.1 GB by default, however many threads decode. Threads wait for their share; an image that needs more
than all of it is refused with the remedy. `--max-pixels` (TL_ADVISE_MAX_PIXELS) raises both bounds.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import threading
from collections.abc import Iterator

from advisor.errors import AdviseError, InputError

MAX_PIXELS = 178_956_970  # Pillow's own limit for an error; a larger header is taken for a decompression bomb
BYTES_PER_PIXEL = 12
ENVIRONMENT = "TL_ADVISE_MAX_PIXELS"
RAISED_BY = f"--max-pixels or {ENVIRONMENT}"  # some commands do not have the option
# Bytes per pixel at the peak: Pillow's image, the decoder's own buffers, and the RGB result. A test holds JPEG, PNG, TIFF and
# WebP to these figures; those of the other formats are estimates.
_PEAK = {"JPEG": 11, "MPO": 11, "WEBP": 19, "JPEG2000": 24, "AVIF": 16, "HEIF": 16, "TIFF": 12, "GIF": 12, "ICNS": 16}
_PEAK_OTHER = 11
_PASSING = frozenset(
    code
    for name in (
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "EIO",
        "EAGAIN",
        "EINTR",
        "ETIMEDOUT",
        "ESTALE",
        "EBUSY",
        "ENOBUFS",
        "EREMOTEIO",
    )
    if (code := getattr(errno, name, None)) is not None
)
_condition = threading.Condition()
_reserved = [0]
_lock = threading.Lock()
_calls = [0]
_before: list[str | None] = [None]


def max_pixels() -> int:
    """Return how many pixels an image may have. Raises InputError where the environment states no whole number."""
    text = os.environ.get(ENVIRONMENT, "")
    if not text:
        return MAX_PIXELS
    if not text.isdigit() or int(text) < 1:
        raise InputError(
            f"{ENVIRONMENT}={text!r}: expected a whole number of pixels above 0.", hint="Correct or unset it."
        )
    return int(text)


def set_max_pixels(pixels: int | None) -> None:
    """Set the limit for this process and those that it starts; None leaves it as it is."""
    if pixels is not None:
        os.environ[ENVIRONMENT] = str(pixels)


@contextlib.contextmanager
def put_back() -> Iterator[None]:
    """Restore, after a call that may set a limit, the one before it: after the last of calls that overlap in threads."""
    with _lock:
        if not _calls[0]:
            _before[0] = os.environ.get(ENVIRONMENT)
        _calls[0] += 1
    try:
        yield
    finally:
        with _lock:
            _calls[0] -= 1
            if not _calls[0]:
                os.environ.pop(ENVIRONMENT, None)
                os.environ.update({ENVIRONMENT: text} if (text := _before[0]) is not None else {})


def total_bytes() -> int:
    """Return the bytes that all images decoded at one time may take in this process."""
    return BYTES_PER_PIXEL * max_pixels()


def peak_bytes(width: int, height: int, file_format: str | None) -> int:
    """Return the bytes that decoding an image of this size and format takes at its peak."""
    return width * height * _PEAK.get(file_format or "", _PEAK_OTHER)


@contextlib.contextmanager
def reserved(size_bytes: int) -> Iterator[None]:
    """Wait until this many bytes are free within the bound, and hold them. Raises ValueError where they exceed it."""
    most = total_bytes()
    if size_bytes > most:
        raise ValueError(
            f"decoding needs about {size_bytes / 1e9:.1f} GB, the limit is {most / 1e9:.1f} GB (raise it with {RAISED_BY})"
        )
    with _condition:
        _condition.wait_for(lambda: _reserved[0] + size_bytes <= most)
        _reserved[0] += size_bytes
    try:
        yield
    finally:
        with _condition:
            _reserved[0] -= size_bytes
            _condition.notify_all()


def is_passing(error: BaseException) -> bool:
    """Return True where an error says nothing about the file: memory, descriptors, an I/O error, a time-out."""
    if isinstance(error, MemoryError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    text = str(error).lower()
    return "out of memory" in text or "cannot allocate" in text or "decoder error -9" in text


def memory_is_short(size_bytes: int) -> bool:
    """Return True where this many bytes cannot be allocated now: then a decoder's failure says nothing about the file."""
    try:
        mmap.mmap(-1, size_bytes).close()  # address space alone: touching the pages would take what may be short
    except (OSError, MemoryError, OverflowError):
        return True
    return False


def check_free(size_bytes: int) -> None:
    """Raise AdviseError where memory does not hold the decoded images; a system that does not tell is not asked."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return
    if size_bytes > free:
        raise AdviseError(
            f"decoded images need {size_bytes / 1e9:.1f} GB, and only {free / 1e9:.1f} GB of memory are free.",
            hint="Free disk space for the cache (TL_ADVISE_CACHE), or start with a smaller input size.",
        )
