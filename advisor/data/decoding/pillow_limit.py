"""Put our bound of pixels in the place of Pillow's own while an image is open, for all threads that open one.

In: nothing; the bound is `decode_limits.max_pixels`. Out: while a context is open, Pillow refuses what is larger, also images
inside of files (icons, frames) whose header states another size, and never warns. Pillow's bound is one variable of the
process, so that the first context sets it and the last one puts it back. Does NOT cover: memory (`decode_limits`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from advisor.data.decoding import decode_limits

_lock = threading.Lock()
_open = [0]
_before: list[int | None] = [None]


class _Bound(int):
    """A bound that Pillow neither doubles for its error nor warns of below: it compares with `2 * MAX_IMAGE_PIXELS`.

    A filter of warnings instead would not be safe where threads overlap.
    """

    def __rmul__(self, factor: int) -> int:
        return int(self)


@contextlib.contextmanager
def replaced() -> Iterator[None]:
    """Replace Pillow's bound by `decode_limits.max_pixels` in every thread.

    Raises InputError where the environment states no number.
    """
    from PIL import Image

    bound = _Bound(decode_limits.max_pixels())
    with _lock:
        if not _open[0]:
            _before[0] = Image.MAX_IMAGE_PIXELS
        _open[0] += 1
        Image.MAX_IMAGE_PIXELS = bound
    try:
        yield
    finally:
        with _lock:
            _open[0] -= 1
            if not _open[0]:
                Image.MAX_IMAGE_PIXELS = _before[0]
