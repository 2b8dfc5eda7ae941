"""Read every listed file once: SHA-256 of its bytes, size, header, and the samples' extremes where they exceed 8 bits.

In: entries of a layout. Out: one `ScannedFile` each, in order, read in threads. Files above 32 MB are hashed in pieces,
so that 16 threads hold at most half a gigabyte. Does NOT cover: decoding 8-bit images (`pixels`).
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from advisor.aliases import CountProgress
from advisor.data import images
from advisor.data.decoding import decode_limits, to_rgb
from advisor.errors import TransientReadError
from advisor.records.data import LabelledFile, Unreadable, ValueRange

_BATCH = 64  # files that a thread takes at a time
_WHOLE = 32 * 1024 * 1024  # bytes; a larger file is hashed in pieces
_PAUSES_S = (0.1, 0.5, 2.0)  # before a file is read again after a passing failure


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """An entry after its file was read; `reason` says why it is no image, "" where it is one."""

    entry: LabelledFile
    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    mode: str = ""
    reason: str = ""
    samples: ValueRange | None = None  # extremes, of images with more than 8 bits per sample


def scan(root: str, entries: Sequence[LabelledFile], progress: CountProgress | None = None) -> list[ScannedFile]:
    """Read all files below `root`. Raises TransientReadError where a passing cause lasts over several attempts."""
    batches = [entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH)]
    files: list[ScannedFile] = []
    # More threads than cores: on network and spinning disks the time goes into waiting.
    with images.quiet(), ThreadPoolExecutor(max_workers=min(16, 4 * (os.cpu_count() or 1))) as pool:
        for batch in pool.map(lambda batch: [_patiently(root, entry) for entry in batch], batches):
            files += batch
            if progress is not None:
                progress(len(files), len(entries))
    return files


def refused(files: Sequence[ScannedFile]) -> list[Unreadable]:
    """List the files that are no image."""
    return [Unreadable(path=file.entry.path, reason=file.reason) for file in files if file.reason]


def lost_splits(files: Sequence[ScannedFile]) -> list[str]:
    """Return warnings about given splits of which no file is an image."""
    lost = {file.entry.given for file in files} - {file.entry.given for file in files if not file.reason}
    return [f"the given {name} split is not used: none of its images can be read." for name in sorted(lost) if name]


def _patiently(root: str, entry: LabelledFile) -> ScannedFile:
    """Scan one file, again after a pause where a passing cause kept it from being read."""
    for pause_s in _PAUSES_S:
        try:
            return _scanned(root, entry)
        except (MemoryError, OSError, TransientReadError):
            time.sleep(pause_s)
    try:
        return _scanned(root, entry)
    except TransientReadError as error:
        raise images.transient(error.__cause__ or error, entry.path) from error
    except (MemoryError, OSError) as error:
        raise images.transient(error, entry.path) from error


def _scanned(root: str, entry: LabelledFile) -> ScannedFile:
    """Scan one file. Raises MemoryError, OSError or TransientReadError for passing causes only."""
    path = os.path.join(root, entry.path)
    digest, size = "", 0
    try:
        if os.path.islink(path) and not os.path.exists(path):
            return ScannedFile(entry, reason="broken symbolic link")
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):  # a named pipe would block for ever
            return ScannedFile(entry, reason="not a regular file")
        size = state.st_size
        with open(path, "rb") as stream:
            if size > _WHOLE:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                content: bytes | str = path
            else:
                content = stream.read()
                digest, size = hashlib.sha256(content).hexdigest(), len(content)
        width, height, mode = images.header(content)
        samples = images.sample_range(content) if to_rgb.is_deep(mode) else None
    except (OSError, ValueError) as error:
        if decode_limits.is_passing(error):
            raise
        return ScannedFile(entry, sha256=digest, bytes=size, reason=images.reason(error))
    return ScannedFile(entry, digest, size, width, height, mode, samples=samples)
