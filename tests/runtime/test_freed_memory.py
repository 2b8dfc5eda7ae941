"""Freed memory stays in the process: counted in page faults, which no slow machine changes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from advisor.runtime import device

BLOCKS, BLOCK_BYTES, PAGE_BYTES = 20, 64 << 20, 4096
PROGRAM = f"""
import resource, sys
import numpy as np
from advisor.runtime import device
if sys.argv[1] == "kept":
    assert device.keep_freed_memory() and device.keep_freed_memory()
np.ones({BLOCK_BYTES}, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({BLOCKS}):
    np.ones({BLOCK_BYTES}, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Count the page faults of allocating, filling and freeing the blocks."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not device.has_glibc(), reason="the C library is not glibc")
def test_a_block_that_was_freed_is_used_again() -> None:
    """Blocks of freed memory are not asked of the kernel again."""
    assert faults("kept") < BLOCK_BYTES / PAGE_BYTES, "not even one block's pages are asked of the kernel again"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C library is another one, the call does nothing and returns False."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not device.keep_freed_memory()
