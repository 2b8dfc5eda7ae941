"""Memory that was freed is kept for the next operation, instead of going back to the kernel and coming anew.

The C library hands every block above 32 MiB, and what lies free at the top of its heap, back to the kernel. A
network's activations are such blocks: each operation's result is mapped, filled with zeros page by page and unmapped
again, and on several cores every unmapping interrupts the others. One core took 370,000 page faults a second on that, and
with `keep` MobileNetV2 went from 42 to 136 images a second in extraction at 224 px, from 66 to 97 in training at 128 px
(docs/speed.md, `benchmarks/speed/run.py allocator --threads 1`).
Source: mallopt(3). Does NOT cover: memory of a GPU, which torch keeps by itself.
"""

from __future__ import annotations

import ctypes
import sys

# Names of glibc's malloc.h, and its largest value of an int. Blocks of a gibibyte and more are data, not activations.
_M_TRIM_THRESHOLD, _NEVER = -1, 2**31 - 1
_M_MMAP_THRESHOLD, _DATA = -3, 1 << 30


def there() -> bool:
    """Whether the C library is glibc, whose allocator this is about."""
    return sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def keep() -> bool:
    """Let this process keep the memory that it frees, up to its peak; False where the C library is not glibc.

    May be called at any time, and more than once.
    """
    if not there():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _DATA)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
