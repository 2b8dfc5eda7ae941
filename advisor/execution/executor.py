"""The executor of trials as the search sees it: it accepts jobs, and returns the outcome of each.

The search knows only this protocol, not whether local processes or a Ray cluster run the jobs. Does NOT cover: what to run
(`tuning`), what a job means (`worker_main`), how a machine or a cluster is reached (`worker_pool`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from advisor.errors import AdviseError
from advisor.records import Trial
from advisor.records.messages import OnProgress, RunTrial


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A job that ended, with its trial or with the error that prevented one."""

    job: RunTrial
    outcome: Trial | AdviseError


class TrialExecutor(Protocol):
    """Runs jobs, several at a time. Every submitted job ends exactly once: `poll` returns it, or `cancel` drops it."""

    @property
    def free(self) -> bool:
        """True if another job can be submitted now."""
        ...

    @property
    def busy(self) -> bool:
        """True if a job is running, or has ended and was not polled yet."""
        ...

    @property
    def running(self) -> Sequence[RunTrial]:
        """The running jobs."""
        ...

    def submit(self, job: RunTrial) -> None:
        """Accept a job; requires `free`. Later errors are outcomes that `poll` returns."""
        ...

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Return a job that ended, or None if none did within about `wait_s`."""
        ...

    def cancel(self, number: int) -> None:
        """Stop a job at once; `poll` will not return it."""
        ...

    def close(self) -> None:
        """Stop all running jobs at once."""
        ...
