"""Run `tl-advise ARGUMENTS` on clocks of CPU time: `python benchmarks/advice/cpu_run.py ARGUMENTS...` in a checkout.

Budget, predictions and the stated time are CPU seconds of all processes of the run, so that a search can be measured on a
machine that does other things too. CPU_CLOCK_LOAD_AT=S emulates a busy loop on the same core from second S on. One core,
`--threads 1`, Linux.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CLOCK = Path(__file__).resolve().parent / "cpu_clock"


def start_on_cpu_clock() -> None:
    """Start this process again with the clocks in place, unless they are; its own start then counts from 0."""
    if os.environ.get("CPU_CLOCK_ROOT") != str(os.getpid()):
        os.environ |= {"CPU_CLOCK_ROOT": str(os.getpid()), "PYTHONPATH": str(CLOCK)}
        os.execv(sys.executable, [sys.executable, *sys.argv])
    from advisor.runtime import clock

    clock.process_start = lambda: 0.0


def main() -> int:
    """Run the command on these clocks, with the code of the current folder."""
    sys.path[0] = os.getcwd()
    start_on_cpu_clock()
    from advisor import cli

    return cli.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
