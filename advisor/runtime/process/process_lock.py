"""One process at a time, for as long as the one that holds the lock shows signs of life.

In: the path of a lock. Out: a context that says whether the lock is held: False where its holder was silent for `SILENT_S`, as
a process is that somebody stopped (Ctrl-Z, a paused container). A holder at work is waited for without a bound: it began the
same work earlier. A process that dies lets go. Does NOT cover: what is done without a lock (`cache`, `data.remote.fetching`,
`models.pretrained_weights`); the lock of a run (`run_dir`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import filelock

BEAT_S = 2.0  # between two signs of life
SILENT_S = 20.0  # ten of them missed: too many for a busy machine


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock and yield True, or yield False where its holder is silent.

    Raises OSError, NotImplementedError where the file system has no locks or cannot be written.
    """
    import filelock

    signs = path.with_suffix(".alive")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    if not _acquire(lock, signs):
        yield False
        return
    try:
        with _signs_of_life(signs):
            yield True
    finally:
        lock.release()


def _acquire(lock: filelock.FileLock, signs: Path) -> bool:
    """Wait for the lock; return False after `SILENT_S` without a sign of its holder. Raises OSError, NotImplementedError."""
    import filelock

    last, since_s = _sign(signs), time.monotonic()
    while True:
        try:
            lock.acquire(timeout=BEAT_S)
            return True
        except filelock.Timeout:
            sign = _sign(signs)
        if sign != last:  # compared with itself only: another machine's clock may differ
            last, since_s = sign, time.monotonic()
        elif time.monotonic() - since_s >= SILENT_S:
            return False


def _sign(signs: Path) -> int:
    try:
        return signs.stat().st_mtime_ns
    except OSError:
        return 0


@contextlib.contextmanager
def _signs_of_life(signs: Path) -> Iterator[None]:
    """Touch a file again and again; a stopped process does not."""
    ended = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):  # a full disk; then others wait less long
                signs.touch()
            if ended.wait(BEAT_S):
                return

    thread = threading.Thread(target=beat, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            signs.unlink()
