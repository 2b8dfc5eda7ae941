"""How the machinery of a search grows: trials that sleep, on workers here, through a database, and by the thousand.

    python benchmarks/scale/search.py here        # trials a minute with 1, 2 and 4 workers on this machine
    python benchmarks/scale/search.py database    # the same through PostgreSQL, workers in processes of their own
    python benchmarks/scale/search.py simulated --trials 10000 --workers 100
    python benchmarks/scale/search.py sampler     # seconds of CPU for one draw, with all trials and with those remembered
    python benchmarks/scale/search.py faults      # 40 trials, 4 workers, one killed every few seconds, one restart

Each writes benchmarks/results/scale_<name>.json.
"""

from __future__ import annotations

import argparse
import signal
import sys

import ground  # noqa: F401 (finds the modules of the tests, which the others import)
import rates
import thousands
import trouble


def main() -> None:
    """Read the call."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["here", "database", "simulated", "sampler", "faults"])
    parser.add_argument("--trials", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--trial-s", type=float, default=2.0, help="how long a trial sleeps")
    parser.add_argument("--per-worker", type=int, default=15, help="trials for each worker")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that the server goes as well
    if asked.what == "here":
        rates.here(asked.trial_s, asked.per_worker)
    elif asked.what == "database":
        rates.through_database(asked.trial_s, asked.per_worker)
    elif asked.what == "sampler":
        thousands.draws()
    elif asked.what == "faults":
        trouble.faults(asked.trial_s)
    else:
        thousands.simulated(asked.trials, asked.workers, asked.trial_s)


if __name__ == "__main__":
    main()
