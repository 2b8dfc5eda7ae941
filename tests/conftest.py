"""What every test gets: a cache of its own, and the shared data where there are any."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import prepared_workers
import pytest

# One thread: on a machine that others use as well, two threads that wait for each other cost ten times as much.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

# How fast the machine is decides no test.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

SHARED = Path(os.environ.get("TL_ADVISE_SHARED", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("TL_ADVISE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", autouse=True)
def workers_are_forks() -> Iterator[None]:
    """Workers that this process starts are forks of one that has imported torch; other processes start theirs as ever."""
    forks = prepared_workers.Subprocess()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("advisor.execution.worker.subprocess", forks)
        yield
    forks.close()


@pytest.fixture
def real_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this test are processes of their own from the beginning."""
    monkeypatch.setattr("advisor.execution.worker.subprocess", subprocess)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks and matrices on one thread: faster, and the same bits on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Where real data sets and weights lie; tests that need them skip where they are absent."""
    if not (SHARED / "unpack.py").exists():
        pytest.skip(f"no shared data at {SHARED} (set TL_ADVISE_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def hymenoptera(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """398 photos of ants and bees, in train/ and val/."""
    to = Path(os.environ.get("TL_ADVISE_DATA", tmp_path_factory.mktemp("data")))
    subprocess.run(
        [sys.executable, shared / "unpack.py", "hymenoptera", "--to", to], check=True, stdout=subprocess.DEVNULL
    )
    return to / "hymenoptera"
