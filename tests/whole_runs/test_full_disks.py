"""A disk that fills up or loses the run meanwhile: one line that says how to go on, and a resume that does."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from listeners import AtStage
from photos import write_crops

from advisor import advice
from advisor.errors import OutputError
from advisor.records import Settings

FAST = {"backbones": ("pocket",), "size_px": 32, "offline": True, "threads": 1, "strategies": ("logistic",)}
SMALL_BYTES = 2000  # of a file; most files of a run are larger


def fill() -> None:
    """Let files of this process grow no more: a write beyond fails with EFBIG, as on a full disk with ENOSPC."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@contextmanager
def emptied() -> Iterator[None]:
    """Let files grow again afterwards."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Thirty-six crops in three classes."""
    return write_crops(tmp_path / "crops", classes=3, each=12, side_px=32)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
@pytest.mark.parametrize("stage", ["reading and checking", "probing", "evaluating the held-out"])
def test_a_run_on_a_full_disk_goes_on_when_there_is_room(crops: Path, tmp_path: Path, stage: str) -> None:
    """Whatever file it is, from the first to the last: the line names the resume, and the resume ends the run."""
    settings = Settings(data=str(crops), trials=1, budget_s=None, **FAST)
    with emptied(), pytest.raises(OutputError, match="cannot be written") as caught:
        advice.advise(settings, out=tmp_path / "run", listener=AtStage(stage, fill))
    assert caught.value.hint == f"Free some space, then `tl-advise resume {tmp_path / 'run'}` continues the run."
    result, _ = advice.resume(tmp_path / "run")
    assert result.status == "final"
    assert result.trials.failed == 0


def test_a_run_that_is_deleted_meanwhile_is_one_line(crops: Path, tmp_path: Path) -> None:
    """It cannot be resumed, and the line does not say so."""
    settings = Settings(data=str(crops), trials=1, budget_s=None, **FAST)
    remove = AtStage("refitting", lambda: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(OutputError, match=r"cannot be written|were removed meanwhile") as caught:
        advice.advise(settings, out=tmp_path / "run", listener=remove)
    assert caught.value.hint == "The run is no longer there: start it again."
