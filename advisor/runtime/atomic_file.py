"""Temporary files whose space is claimed before a byte is written, and which a dead process does not leave behind.

A write through a memory map to a full disk ends the process (SIGBUS) and cannot be caught; so space is reserved, data
goes through write(), and whoever reads maps the finished file. Not covered: names and contents (`cache`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_STALE_S = 60.0  # a file that nobody holds and that is older than this was left by a process that died
_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # a file system that cannot reserve


@contextlib.contextmanager
def opened(path: Path, size_bytes: int = 0) -> Iterator[IO[bytes]]:
    """Open a new file for writing with `size_bytes` reserved; at the end it is removed if it still has this name.

    Raises OSError (ENOSPC where the space is not there).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = open(path, "xb")  # noqa: SIM115  (closed below, where a last flush may fail)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX)  # alive: `sweep` leaves it alone
        if size_bytes and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(stream.fileno(), 0, size_bytes)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
        yield stream
    finally:
        with contextlib.suppress(OSError):  # a buffer that does not fit any more is not wanted either
            stream.close()
        path.unlink(missing_ok=True)


def settle(stream: IO[bytes]) -> int:
    """Cut what was reserved beyond what was written, and bring it to the disk; returns the size in bytes."""
    size_bytes = stream.tell()
    stream.truncate()
    stream.flush()
    os.fsync(stream.fileno())
    return size_bytes


def sweep(folder: Path) -> None:
    """Delete files that processes left when they died: old, and locked by nobody."""
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):  # held by a living process, or already gone
            if time.time() - path.stat().st_mtime < _STALE_S:
                continue
            with open(path, "rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
