"""Where trials run, as the search sees it: orders in, ends out, one at a time, whoever runs them.

A search knows this protocol alone. Does NOT cover: what to run (`tuning`), what an order means (`worker_main`), how a machine
or a cluster is reached (`worker_pool`).
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
    """An order that ended: with a trial, or with the reason why there is none."""

    order: RunTrial
    outcome: Trial | AdviseError


class TrialExecutor(Protocol):
    """Runs orders, several at a time. Every order that was submitted ends exactly once, by `poll` or by `cancel`."""

    @property
    def free(self) -> bool:
        """True if another order would be taken now."""
        ...

    @property
    def busy(self) -> bool:
        """True if an order is under way or has ended and was not polled yet."""
        ...

    @property
    def running(self) -> Sequence[RunTrial]:
        """The orders that are under way."""
        ...

    def submit(self, order: RunTrial) -> None:
        """Accept an order, where `free`. What goes wrong from here on is an end that `poll` returns."""
        ...

    def poll(self, on_progress: OnProgress, *, wait_s: float = 0.2) -> Ended | None:
        """Return an order that ended; None where none did within about `wait_s`."""
        ...

    def cancel(self, number: int) -> None:
        """End an order at once, without an end for it."""
        ...

    def close(self) -> None:
        """End everything that is under way, at once."""
        ...
