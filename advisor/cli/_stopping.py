"""Signals that ask a command to stop: each means what Ctrl-C means, so that what a command began is cleaned up.

In: SIGTERM, SIGINT, and SIGHUP where it was not ignored (nohup). Out: a KeyboardInterrupt, wherever the program is. Does NOT
cover: what a command does then (`advice` keeps the best so far, the others remove what is incomplete).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

AGAIN_S = 0.05  # after which a signal that was discarded is sent again


class stopped_by_signals:  # noqa: N801 (a context manager that reads as a phrase)
    """SIGTERM and a lost terminal mean what Ctrl-C means while this is open.

    SIGINT is handled as well: a background job of a script starts with it ignored, and could not be stopped gently. Python
    discards what is raised while an object is cleaned up; a signal that arrives there is sent again a moment later.
    """

    def __enter__(self) -> None:
        self.hook = sys.unraisablehook
        sys.unraisablehook = self._discarded
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            numbers.append(signal.SIGHUP)
        self.before = {number: signal.signal(number, self._interrupt) for number in numbers}

    def _interrupt(self, number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    def _discarded(self, unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self.hook(unraisable)
            return
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)).start()

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        sys.unraisablehook = self.hook
