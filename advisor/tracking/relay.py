"""Pass the events of a run on to trackers, without waiting for them: a thread per tracker, and one note if it fails.

In: the listener of a run. Out: a listener that does the same and logs as well. A tracker that raises is not called again.
At the end, the run waits at most `END_S` for all of them. The identities of the logs are in `tracking.json` in the run
directory, so that a resumed run continues them. Does NOT cover: which values are logged (`tracking.values`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from advisor.data.remote import urls
from advisor.errors import AdviseError, one_line
from advisor.records import Profile, Regime, Result, Settings, Trial
from advisor.records.messages import Progress
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.runtime.clock import Clock
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tracking import tracker, values

END_S = 30.0  # to send what is left, when the result is already on disk
IDENTITIES = "tracking.json"

Call = Callable[[tracker.Tracker], None]


class Relay:
    """One tracker on a thread of its own. `failure` is why it was given up, "" while it works."""

    def __init__(self, name: str, run: tracker.TrackedRun, identity: str) -> None:
        self.name = name
        self.identity = identity
        self.address = ""
        self.failure = ""
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(run,), name=f"log-{name}", daemon=True)
        self._thread.start()

    def send(self, call: Call) -> None:
        """Queue a call; it is dropped where the tracker has failed."""
        self._calls.put(call)

    def close(self, deadline_s: float) -> None:
        """Wait for the queued calls until a time.monotonic(); note a failure where they do not end by then."""
        self._calls.put(None)
        self._thread.join(max(0.0, deadline_s - time.monotonic()))
        if self._thread.is_alive() and not self.failure:
            self.failure = f"it did not respond within {END_S:.0f} s at the end"

    def _work(self, run: tracker.TrackedRun) -> None:
        try:
            log = tracker.start(self.name, run, self.identity)
            self.identity, self.address = log.identity, log.address
            while (call := self._calls.get()) is not None:
                call(log)
        except BaseException as error:  # whatever a tracker does, the run goes on
            kind = "" if isinstance(error, AdviseError) else f"{type(error).__name__}: "
            self.failure = urls.without_keys(f"{kind}{one_line(error)}")


class TrackingListener(Listener):
    """Does what another listener does, and sends trials and the outcome to trackers."""

    def __init__(self, shown: Listener, relays: list[Relay], rundir: RunDir) -> None:
        self._shown = shown
        self._relays = relays
        self._rundir = rundir
        self._reported: set[str] = set()
        self.outcome = tracker.LoggedOutcome(state="stopped", scores={}, verdict="", files=())

    def started(self, clock: Clock) -> None:
        """Pass on that the run begins."""
        self._shown.started(clock)

    def reserved(self, seconds: float) -> None:
        """Pass on how much time is kept for the end."""
        self._shown.reserved(seconds)

    def predicted(self, left_s: float, at_most_s: float) -> None:
        """Pass on how long the rest of the run is predicted to take."""
        self._shown.predicted(left_s, at_most_s)

    def stage(self, text: str) -> None:
        """Pass on that a stage begins, and report trackers that failed."""
        self._shown.stage(text)
        self.report_failures()

    def note(self, text: str) -> None:
        """Pass on a note."""
        self._shown.note(text)

    def profile(self, profile: Profile, regime: Regime) -> None:
        """Log the facts of the data set."""
        self._shown.profile(profile, regime)
        facts = {**values.data(profile), "regime_by_size": regime.prior}
        self._send(lambda log: log.data(facts))

    def progress(self, progress: Progress) -> None:
        """Pass on how far a job is."""
        self._shown.progress(progress)

    def trial(self, trial: Trial, best: Trial | None, left_s: float) -> None:
        """Log a trial that ended."""
        self._shown.trial(trial, best, left_s)
        self._send(lambda log: log.trial(trial))

    def kept(self, trial: Trial) -> None:
        """Pass on that a better recipe is on disk."""
        self._shown.kept(trial)

    def finished(self, result: Result) -> None:
        """Store the outcome, which is logged when the run is closed."""
        self._shown.finished(result)
        files = values.artefacts(self._rundir.path)
        scores, verdict = values.scores(result), values.verdict(result)
        self.outcome = tracker.LoggedOutcome(state="finished", scores=scores, verdict=verdict, files=files)

    def report_failures(self) -> None:
        """Note every tracker that failed, once."""
        for relay in self._relays:
            if relay.failure and relay.name not in self._reported:
                self._reported.add(relay.name)
                self._shown.note(f"--log {relay.name} failed and is not used any more: {relay.failure}")

    def close(self) -> None:
        """Log the outcome, wait for the trackers, remember their identities, and note where the logs are."""
        outcome = self.outcome
        self._send(lambda log: log.end(outcome))
        deadline_s = time.monotonic() + END_S
        for relay in self._relays:
            relay.close(deadline_s)
        self.report_failures()
        working = [relay for relay in self._relays if not relay.failure]
        identities = {relay.name: relay.identity for relay in working if relay.identity}
        if identities and self._rundir.path.is_dir():
            write_atomically(self._rundir.path / IDENTITIES, to_json(identities))
        for relay in working:
            self._shown.note(f"logged to {relay.name}: {relay.address}")

    def _send(self, call: Call) -> None:
        for relay in self._relays:
            relay.send(call)


@contextmanager
def follow(listener: Listener, settings: Settings, rundir: RunDir) -> Iterator[Listener]:
    """Log what a listener hears to the trackers of the settings, until the context is left; without any, change nothing."""
    if not settings.log:
        yield listener
        return
    identities = rundir.read(IDENTITIES, dict[str, str]) or {}
    run = tracker.TrackedRun(
        name=rundir.path.name, folder=rundir.path, options=values.options(settings), offline=settings.offline
    )
    relays = [Relay(name, run, identities.get(name, "")) for name in dict.fromkeys(settings.log)]
    tracking = TrackingListener(listener, relays, rundir)
    try:
        yield tracking
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            tracking.outcome = tracker.LoggedOutcome(state="failed", scores={}, verdict=one_line(error), files=())
        raise
    finally:
        tracking.close()
