"""How much of a processor this process gets: wall time over CPU time of a fixed piece of work.

In: nothing. Out: 1.0 on an idle machine, 2.0 where another process of equal priority shares the core. Does NOT cover: how fast
the processor is, or memory bandwidth.
"""

from __future__ import annotations

import time

CPU_S = 0.1  # of work that is measured: about ten time slices of a scheduler


def measure(cpu_s: float = CPU_S) -> float:
    """Work for `cpu_s` seconds of CPU time and return wall time over CPU time, at least 1."""
    wall, cpu, total = time.perf_counter(), time.thread_time(), 0
    while time.thread_time() - cpu < cpu_s:
        total += sum(range(1000))
    return max(1.0, (time.perf_counter() - wall) / (time.thread_time() - cpu))
