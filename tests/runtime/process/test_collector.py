"""The collector's settings: what they leave out, and that garbage of a cycle is still found."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest

from advisor.runtime.process import collector


class Node:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_nothing_is_collected_while_paused_and_garbage_is_found_afterwards() -> None:
    before = gc.get_freeze_count()
    with collector.paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    seen = weakref.ref(Node())
    gc.collect()
    assert seen() is None
    gc.unfreeze()


def test_the_collector_goes_on_after_an_error() -> None:
    with pytest.raises(ValueError, match="inside"), collector.paused():
        raise ValueError("inside")
    assert gc.isenabled()
    gc.unfreeze()


def test_a_command_ends_without_a_last_collection() -> None:
    program = (
        "import gc, sys\n"
        "from advisor.cli import main\n"
        "try:\n"
        "    main(['--version'])\n"
        "except SystemExit as ending:\n"
        "    assert ending.code == 0\n"
        "assert gc.get_freeze_count() > 1000 and gc.get_threshold()[0] == 5000\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
