"""The lock of a cache entry: a process at work is waited for, a stopped or dead one is not."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from photographs import folder

from advisor import registry
from advisor.data import dataset
from advisor.data.archives import unpacking
from advisor.errors import DatasetError, WeightsError
from advisor.models import pretrained_weights
from advisor.runtime import cache
from advisor.runtime.process import process_lock

HOLDER = """
import sys
import numpy as np
from pathlib import Path
from advisor.runtime import cache
from advisor.runtime.process import process_lock
process_lock.BEAT_S = 0.1
lock, folder = map(Path, sys.argv[1:])
with process_lock.held(lock):
    print("held", flush=True)
    sys.stdin.readline()
    cache.Store(folder).keep({"n": 0}, np.arange(6.0))
    print("kept", flush=True)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give locks up after a second of silence."""
    monkeypatch.setattr(process_lock, "BEAT_S", 0.1)
    monkeypatch.setattr(process_lock, "SILENT_S", 1.0)


@pytest.fixture
def store(tmp_path: Path) -> cache.Store:
    """A store with one lock that another process holds."""
    return cache.Store(tmp_path / "store")


@contextlib.contextmanager
def holding(lock: Path, folder: Path = Path()) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds a lock and, told to go on, stores an entry in a folder."""
    call = [sys.executable, "-c", HOLDER, str(lock), str(folder)]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()  # a stopped one too


@pytest.fixture
def holder(store: cache.Store) -> Iterator[subprocess.Popen[str]]:
    """A process that holds an entry of the store."""
    with holding(lock_of(store), store.directory) as process:
        yield process


def lock_of(store: cache.Store) -> Path:
    return store.directory / "locks" / f"{cache.key({'n': 0})}.lock"


def test_a_stopped_process_blocks_nobody(
    store: cache.Store, holder: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The next one says so in a line and goes on without the lock; what both of them store is whole."""
    holder.send_signal(signal.SIGSTOP)
    with caplog.at_level(logging.WARNING), store.lock({"n": 0}):
        store.keep({"n": 0}, np.arange(6.0))
    assert [line.count("\n") for line in caplog.messages] == [0]
    assert "does not respond" in caplog.messages[0]
    holder.send_signal(signal.SIGCONT)
    assert holder.communicate("go on\n", timeout=60)[0] == "kept\n"
    assert len(store.entries()) == 1
    stored = store.array({"n": 0})
    assert stored is not None
    assert np.array_equal(stored, np.arange(6.0))


def test_a_process_at_work_is_waited_for(
    store: cache.Store, holder: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    """However long it takes: what it computes is not computed twice."""
    later = threading.Timer(2.5 * process_lock.SILENT_S, holder.communicate, ("go on\n",))
    later.start()
    with store.lock({"n": 0}):
        assert store.array({"n": 0}) is not None
    later.join()
    assert not caplog.messages


def test_a_dead_process_lets_go(store: cache.Store, holder: subprocess.Popen[str]) -> None:
    """Whatever it left."""
    holder.kill()
    with process_lock.held(lock_of(store)) as is_held:
        assert is_held


def test_what_a_stopped_process_is_fetching_is_left_to_it(tmp_path: Path) -> None:
    """It may go on any time and write into the same files: the next one is told instead, for data and for weights."""
    files = fsspec.filesystem("memory")
    files.put(str(folder(tmp_path / "photos", {"cat": 3, "dog": 3})), "/stopped", recursive=True)
    dataset.read("memory://stopped")
    (lock,) = (cache.default_dir() / "remote").glob(".*.lock")
    unpacking.clear()
    with holding(lock) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(DatasetError, match="does not respond"):
            dataset.read("memory://stopped")
    assert len(dataset.read("memory://stopped").items) == 6
    backbone = registry.load().backbone("mobilenet_v3_small")
    with holding(tmp_path / f"{backbone.weights.file}.lock") as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(WeightsError, match="does not respond"):
            pretrained_weights.fetch(backbone, to=str(tmp_path))
