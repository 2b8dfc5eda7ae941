"""A signal stops a command, wherever in the program it arrives."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from advisor import cli
from advisor.cli._stopping import stopped_by_signals


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


WAITING = """
import os, signal, sys, threading, time
from advisor import cli
number = int(sys.argv[1])
signal.signal(number, signal.SIG_DFL)  # also where this is run under nohup

def kill():
    while signal.getsignal(number) == signal.SIG_DFL:
        time.sleep(0.01)
    os.kill(os.getpid(), number)

threading.Thread(target=kill).start()
cli.main(["predict", "run", "-"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_command_is_stopped_as_by_ctrl_c(number: signal.Signals) -> None:
    """A command that waits for its input: exit code 130 and one word, so that what it began is cleaned up."""
    call = [sys.executable, "-c", WAITING, str(number.value)]
    process = subprocess.Popen(call, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert (process.wait(60), process.stderr.read().strip()) == (130, "stopped")


def test_a_second_signal_while_the_first_is_reported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C twice in a row: the exit code stays 130."""

    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            signal.raise_signal(signal.SIGINT)
            return len(text)

    def interrupted(**call: Any) -> None:
        monkeypatch.setattr(sys, "stderr", Terminal())
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(cli.group, "main", interrupted)
    with pytest.raises(SystemExit) as ending:
        cli.main(["cache"])
    assert ending.value.code == 130


def test_a_lost_terminal_is_ignored_under_nohup() -> None:
    """A signal that the caller ignores stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
