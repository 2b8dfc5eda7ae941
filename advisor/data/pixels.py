"""Decode image files to one uint8 array of squares, once; later calls map it from the cache.

Legend: N items, S side of the square in pixels. Covered: torchvision's resize and centre crop, bit for bit up to `NARROW` and
`LARGE_JPEG`; squash and pad; threads within one bound of memory (`decode_limits`); unreadable files, and those that changed
since they were hashed; a full disk. Does NOT cover: augmentation and normalisation (on the device), labels.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.aliases import CountProgress, Pixels
from advisor.data import images, pixel_reuse
from advisor.data.decoding import decode_limits
from advisor.errors import CacheFullError, ChangedFileError, TransientReadError
from advisor.records import Item, Preprocess, Unreadable
from advisor.records.data import ValueRange
from advisor.runtime.cache import Store

if TYPE_CHECKING:
    from PIL import Image

FITS = ("crop", "squash", "pad")
PAD_COLOUR = (124, 116, 104)  # ImageNet's mean: zero after the usual normalisation
# Long side over short. Up to it an image is enlarged before its square is cut: as many squares in memory. Beyond it that has
# no bound (a file of few pixels may ask for gigabytes), and only the square is made.
NARROW = 50
# A JPEG of more pixels is decoded at a scale of 1/2, 1/4 or 1/8, still at least `REDUCED` times the square on its short side,
# and resized from there: 12 megapixels take half the time, and squares differ by five grey levels at most (docs/speed.md).
LARGE_JPEG, REDUCED = 2_000_000, 2
_CODE = 3  # increment when the same inputs would give other pixels
_BATCH = 32  # images that a thread decodes per task
_PAUSES_S = (0.1, 0.5, 2.0)  # before an image is read again after a passing failure
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PixelRule:
    """How an image becomes a square.

    "crop": the short side to `resize_px`, then the central square of that side, so that a centre crop of `size_px`
    and random crops can both be cut from it. "squash": both sides to `size_px`. "pad": the long side to `size_px`,
    the rest filled. `draft` allows reduced-scale decoding of any JPEG (thumbnails only). `value_range` is what samples of
    16-bit and float images are scaled from, None to scale each image by its type.
    """

    size_px: int
    resize_px: int
    interpolation: str = "bilinear"
    fit: str = "crop"
    draft: bool = False
    value_range: ValueRange | None = None

    @property
    def side_px(self) -> int:
        """Side of the stored square."""
        return self.resize_px if self.fit == "crop" else self.size_px

    @property
    def reduced_px(self) -> int:
        """Short side, at least, of a large JPEG that is decoded at a reduced scale; 0 where all of its pixels are."""
        return 0 if self.interpolation == "nearest" else REDUCED * self.side_px


def rule_for(preprocess: Preprocess, size_px: int, fit: str) -> PixelRule:
    """Scale a backbone's own preprocessing to another input size. Raises ValueError for an unknown `fit`."""
    if fit not in FITS:
        raise ValueError(f"fit must be one of {', '.join(FITS)}, got {fit!r}")
    resize_px = max(size_px, round(preprocess.resize * size_px / preprocess.size))
    return PixelRule(size_px, resize_px, preprocess.interpolation, fit, value_range=preprocess.value_range)


def decode(path: str | Path | bytes, rule: PixelRule) -> Pixels:
    """Decode one image to (S, S, 3) uint8. Raises ValueError with a short reason, TransientReadError."""
    above = 0 if rule.draft else LARGE_JPEG
    with images.decoded_rgb(path, draft_px=rule.reduced_px, draft_above=above, value_range=rule.value_range) as image:
        return np.array(fitted(image, rule))


def fitted(image: Image.Image, rule: PixelRule) -> Pixels:
    """Resize an RGB image to the (S, S, 3) square of the rule."""
    from PIL import Image

    how = Image.Resampling[rule.interpolation.upper()]
    side = rule.side_px
    if rule.fit == "squash":
        return np.asarray(_resized(image, side, side, how))
    width, height = image.size
    if rule.fit == "pad":
        long = max(width, height)
        inner = _resized(image, max(1, round(width * side / long)), max(1, round(height * side / long)), how)
        square = Image.new("RGB", (side, side), PAD_COLOUR)
        square.paste(inner, ((side - inner.width) // 2, (side - inner.height) // 2))
        return np.asarray(square)
    # torchvision's Resize: the long side is cut down to a whole number, not rounded.
    short = min(width, height)
    whole = int(side * width / short), int(side * height / short)
    left, top = (_offset(length, rule) for length in whole)
    if max(width, height) > NARROW * short:
        across, down = width / whole[0], height / whole[1]
        box = (left * across, top * down, min(width, (left + side) * across), min(height, (top + side) * down))
        return np.asarray(image.resize((side, side), how, box=box))
    inner = _resized(image, *whole, how)
    return np.asarray(inner.crop((left, top, left + side, top + side)))


def centre(canvas_NSS3: Pixels, size_px: int) -> Pixels:
    """View the centre crop of stored squares, (N, size, size, 3), where torchvision's CenterCrop would cut it."""
    start = round((canvas_NSS3.shape[1] - size_px) / 2.0)
    return canvas_NSS3[:, start : start + size_px, start : start + size_px]


def canvas(
    root: str | Path,
    items: Sequence[Item],
    rule: PixelRule,
    *,
    store: Store | None,
    progress: CountProgress | None = None,
    threads: int | None = None,
) -> tuple[Pixels, tuple[Unreadable, ...]]:
    """Decode all items to (N, S, S, 3) uint8, or map them from `store`; read-only, independent of `threads`.

    Rows of items that cannot be decoded, or whose bytes are no longer those that were hashed, are zeros and listed.
    Where the store is full or cannot be written, decodes into memory with a logged warning. Raises TransientReadError
    where a passing cause (memory, an I/O error) lasts: such a file is never taken for no image. Raises AdviseError where
    memory would not hold the squares.
    """
    shape = (len(items), rule.side_px, rule.side_px, 3)
    refused: list[_Refused] = []
    try:
        if store is not None and items:
            fields = key_fields(items, rule)
            if (stored := _stored(store, fields, shape, items)) is not None:
                return stored
            with store.lock(fields):  # another process may have made it while we waited
                if (stored := _stored(store, fields, shape, items)) is not None:
                    return stored
                donor = pixel_reuse.find(store, fields, items)
                rows = store.keep_rows(
                    fields,
                    _decoded(root, items, rule, refused, progress, threads, donor),
                    shape,
                    np.uint8,
                    notes=lambda: [[r.row, r.reason] for r in refused],
                    # A file that moved, changed or could not be opened says nothing about its content.
                    lasting=lambda: not any(r.passing for r in refused),
                )
                if not any(r.passing for r in refused):
                    with contextlib.suppress(CacheFullError):  # then the next data set decodes its own
                        pixel_reuse.remember(store, fields, items)
                return rows, _listed(refused, items)
    except CacheFullError as error:
        _log.warning("%s Going on without: images are decoded into memory.", error)
        refused.clear()
    decode_limits.check_free(int(np.prod(shape, dtype=np.int64)))
    squares = np.zeros(shape, np.uint8)
    start = 0
    for block in _decoded(root, items, rule, refused, progress, threads):
        squares[start : start + len(block)] = block
        start += len(block)
    squares.setflags(write=False)
    return squares, _listed(refused, items)


def _stored(
    store: Store, fields: dict[str, Any], shape: tuple[int, ...], items: Sequence[Item]
) -> tuple[Pixels, tuple[Unreadable, ...]] | None:
    array, notes = store.array(fields), store.notes(fields)
    if array is None or array.shape != shape or not isinstance(notes, list):
        return None
    return array, _listed([_Refused(row, why) for row, why in notes], items)


def key_fields(items: Sequence[Item], rule: PixelRule) -> dict[str, Any]:
    """Return everything that shapes a canvas: contents in order, the rule, the decoder's version."""
    digest = hashlib.sha256("".join(item.sha256 for item in items).encode()).hexdigest()
    return {
        "kind": "pixels",
        "items": digest,
        "images": len(items),
        **{name: value for name, value in asdict(rule).items() if name != "value_range" or value is not None},
        **decoder(),
    }


def decoder() -> dict[str, Any]:
    """Return what decides, beside contents and rule, which pixels come out of a file; every key of what they shape has it."""
    import PIL
    from PIL import features

    return {"code": _CODE, "pillow": PIL.__version__, "jpeg": features.version("jpg") or ""}


@dataclass(frozen=True, slots=True)
class _Refused:
    row: int
    reason: str
    passing: bool = False


def _listed(refused: Sequence[_Refused], items: Sequence[Item]) -> tuple[Unreadable, ...]:
    return tuple(Unreadable(path=items[r.row].path, reason=r.reason) for r in refused)


def _decoded(
    root: str | Path,
    items: Sequence[Item],
    rule: PixelRule,
    refused: list[_Refused],
    progress: CountProgress | None,
    threads: int | None,
    donor: pixel_reuse.Donor | None = None,
) -> Iterator[Pixels]:
    """Yield blocks of squares in order and note in `refused` what could not be decoded."""
    starts = range(0, len(items), _BATCH)
    count, done = threads or min(32, os.cpu_count() or 1), 0
    # Threads, not processes: Pillow decodes and resizes without the interpreter's lock.
    with images.quiet(), ThreadPoolExecutor(max_workers=count) as pool:
        waiting: deque[Future[tuple[Pixels, list[_Refused]]]] = deque()
        for start in itertools.chain(starts, itertools.repeat(None)):
            if start is not None:
                waiting.append(pool.submit(_block, str(root), items, rule, start, donor))
            if start is None or len(waiting) > 2 * count:  # bounded: blocks must not pile up in memory
                if not waiting:
                    return
                block, bad = waiting.popleft().result()
                refused += bad
                done += len(block)
                if progress is not None:
                    progress(done, len(items))
                yield block


def _block(
    root: str, items: Sequence[Item], rule: PixelRule, start: int, donor: pixel_reuse.Donor | None
) -> tuple[Pixels, list[_Refused]]:
    chosen = items[start : start + _BATCH]
    squares = np.zeros((len(chosen), rule.side_px, rule.side_px, 3), np.uint8)
    refused = []
    for i, item in enumerate(chosen):
        if donor is not None and donor.rows[start + i] >= 0:
            squares[i] = donor.squares[donor.rows[start + i]]
            continue
        try:
            squares[i] = _patiently(os.path.join(root, item.path), item, rule)
        except ChangedFileError as error:
            refused.append(_Refused(start + i, str(error), passing=True))
        except ValueError as error:
            refused.append(_Refused(start + i, str(error)))
    return squares, refused


def _patiently(path: str, item: Item, rule: PixelRule) -> Pixels:
    """Decode a file, again after a pause where a passing cause kept it from being read.

    Raises ValueError where it is no image, ChangedFileError, TransientReadError where the cause lasts.
    """
    for pause_s in (*_PAUSES_S, None):
        try:
            return _decode_unchanged(path, item, rule)
        except (MemoryError, TransientReadError, OSError) as error:
            if isinstance(error, OSError) and not decode_limits.is_passing(error):
                raise ChangedFileError(images.reason(error)) from error
            if pause_s is None:
                cause = error.__cause__ if isinstance(error, TransientReadError) else None
                raise images.transient(cause or error, item.path) from error
            time.sleep(pause_s)
    raise AssertionError("unreachable")


def _decode_unchanged(path: str, item: Item, rule: PixelRule) -> Pixels:
    content = Path(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != item.sha256:
        raise ChangedFileError("the file changed after it was inspected")
    return decode(content, rule)


def _resized(image: Image.Image, width: int, height: int, how: Image.Resampling) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), how)


def _offset(length: int, rule: PixelRule) -> int:
    """Where the stored square starts, so that the centre crop of it is the centre crop of the whole image."""
    direct = round((length - rule.size_px) / 2.0)
    within = round((rule.side_px - rule.size_px) / 2.0)
    return min(max(0, direct - within), length - rule.side_px)
