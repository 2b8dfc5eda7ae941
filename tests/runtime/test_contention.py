"""The share of a processor that this process gets."""

from __future__ import annotations

import os
import subprocess
import sys

from advisor.runtime import contention


def test_a_second_process_on_the_same_core_is_noticed() -> None:
    """Four busy processes beside it on one core: less than half of it is left."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for process in busy:
            os.sched_setaffinity(process.pid, {min(cores)})
        assert contention.measure(0.2) > 2.0
    finally:
        for process in busy:
            process.kill()
            process.wait()
        os.sched_setaffinity(0, cores)


def test_no_work_takes_less_than_its_processor_time() -> None:
    """1 is the least."""
    assert contention.measure(0.01) >= 1.0
