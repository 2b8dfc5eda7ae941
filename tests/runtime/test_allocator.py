"""Freed memory stays in the process: counted in page faults, which no slow machine changes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from advisor.runtime import allocator

BLOCKS, BLOCK_BYTES, PAGE_BYTES = 20, 64 << 20, 4096
PROGRAM = f"""
import resource, sys
import numpy as np
from advisor import allocator
if sys.argv[1] == "kept":
    assert allocator.keep() and allocator.keep()
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


@pytest.mark.skipif(not allocator.there(), reason="the C library is not glibc")
def test_a_block_that_was_freed_is_used_again() -> None:
    assert faults("kept") < BLOCK_BYTES / PAGE_BYTES, "not even one block's pages are asked of the kernel again"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep()
