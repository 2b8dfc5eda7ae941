"""A signal stops a command, wherever in the program it arrives."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from advisor.cli.advise import stopped_by_signals


class Interrupted:
    """An object in whose clean-up the signal arrives."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)


def test_a_signal_in_the_clean_up_of_an_object_is_not_lost() -> None:
    """Python discards what is raised there: a search on Ray went on to its end after Ctrl-C in SQLAlchemy's clean-up."""
    hook = sys.unraisablehook

    def search() -> None:
        Interrupted()
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt), stopped_by_signals():
        search()
    assert sys.unraisablehook is hook


def test_other_errors_in_a_clean_up_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an interruption is taken out."""
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))

    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    with stopped_by_signals():
        Broken()
    assert seen == [ValueError]
