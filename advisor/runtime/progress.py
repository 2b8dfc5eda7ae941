"""Events of a run in progress. The core calls these methods; the command line shows them, a library call ignores them."""

from __future__ import annotations

from collections.abc import Callable

from advisor.records import Profile, Regime, Result, Trial
from advisor.records.messages import Progress
from advisor.runtime.clock import Clock


class Listener:
    """Receives every event and shows nothing; override the methods whose events you want to show."""

    def started(self, clock: Clock) -> None:
        """The run begins, and its clock with it."""

    def reserved(self, seconds: float) -> None:
        """So much of the time left is kept for the final training and the test; the rest is for the search."""

    def predicted(self, left_s: float, at_most_s: float) -> None:
        """A run limited by its number of trials will take about so many seconds more, where paces differ at most so many."""

    def stage(self, text: str) -> None:
        """A new part of the story begins."""

    def note(self, text: str) -> None:
        """Something a person should know; not an error."""

    def profile(self, profile: Profile, regime: Regime) -> None:
        """The data set was measured."""

    def progress(self, progress: Progress) -> None:
        """A job is under way."""

    def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
        """A trial or probe ended; `best` is the best so far, this one included, and `left_s` may be infinite."""

    def kept(self, trial: Trial) -> None:
        """A better recipe is on disk."""

    def finished(self, result: Result) -> None:
        """The run is finished, and its files are in the run directory."""


class CallbackListener(Listener):
    """Passes stages and progress on to a function of (what, done, total); `total` is 0 where a stage begins."""

    def __init__(self, report: Callable[[str, int, int], None]) -> None:
        self.report = report
        self.now = "starting"

    def stage(self, text: str) -> None:
        """Pass on that a stage begins."""
        self.now = text
        self.report(text, 0, 0)

    def progress(self, progress: Progress) -> None:
        """Pass on how far the stage is, all folds counted."""
        self.report(self.now, (progress.fold - 1) * progress.total + progress.done, progress.folds * progress.total)
