"""Run `tl-advise` with another way of searching, for comparison: `python benchmarks/advice/ways.py WAY ARGUMENTS...`

`advice`: as it is. `random`: the untuned default, then random draws from the same spaces, without portfolio, estimator or
order of promise, until the time is over. `default`: the untuned default alone. Probes, verdict, refit, score and budget are
the same in all. With CPU_TIME in the environment all times are CPU seconds (cpu_run.py).
"""

from __future__ import annotations

import os
import sys

import cpu_run

from advisor import cli
from advisor.tuning import policy
from advisor.tuning.decisions import portfolio

WAYS = ("advice", "random", "default")


def main(way: str, arguments: list[str]) -> int:
    """Change what `way` says, and run the command."""
    if way not in WAYS:
        raise SystemExit(f"expected one of {', '.join(WAYS)}, got {way}")
    if os.environ.get("CPU_TIME"):
        cpu_run.start_on_cpu_clock()
    if way == "random":
        portfolio._entries = lambda state, backbones: []
        policy.RANDOM_TRIALS = policy.PATIENCE_TRIALS = sys.maxsize
    if way == "default":
        arguments = [*arguments, "--trials", "1"]
    return cli.run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
