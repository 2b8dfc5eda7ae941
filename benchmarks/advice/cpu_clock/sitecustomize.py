"""Clocks of CPU time instead of wall time, for a run and its workers: what else the machine does then changes no decision.

Python imports this where the folder is on PYTHONPATH and CPU_CLOCK_ROOT names the process that began the run (cpu_run.py).
With CPU_CLOCK_LOAD_AT, the clocks run twice as fast from that second on, as beside a busy loop on the same core.
Covers: one core, one thread. Does NOT cover: waiting for a disk or a network, which takes no CPU time.
"""

from __future__ import annotations

import contextlib
import os
import time

ROOT = int(os.environ.get("CPU_CLOCK_ROOT", "0"))
LOAD_AT_S = float(os.environ.get("CPU_CLOCK_LOAD_AT", "inf"))
_seen_s: dict[int, float] = {}  # of other processes, also those that ended


def now_s() -> float:
    """Return the CPU seconds of the run so far: of all its processes, or in a worker of itself and the first process."""
    for pid in _descendants(os.getpid()) if os.getpid() == ROOT else (ROOT,):
        with contextlib.suppress(OSError):  # it has ended
            _seen_s[pid] = time.clock_gettime((~pid << 3) | 2)  # the clock of a process: clock_getcpuclockid(3)
    used_s = time.process_time() + sum(_seen_s.values())
    return used_s if used_s < LOAD_AT_S else 2 * used_s - LOAD_AT_S


def _descendants(pid: int) -> list[int]:
    pids: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                pids += [int(child) for child in children.read().split()]
    return pids + [inner for child in pids for inner in _descendants(child)]


if ROOT:
    time.monotonic = now_s
    time.perf_counter = now_s
