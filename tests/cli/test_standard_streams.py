"""Standard streams on a full disk, or closed, as under cron: an answer that is lost is told, a lost note costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from photographs import folder

FULL = Path("/dev/full")  # takes nothing: every write fails as on a full disk


def run(redirection: str, *call: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this tool in a shell that redirects its streams."""
    line = f'exec "$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-m", "advisor", *call], capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
@pytest.mark.parametrize("call", [["--version"], ["plugins"], ["cache", "--json"]])
def test_an_answer_that_cannot_be_written_is_one_line(call: list[str]) -> None:
    """Exit code 2, as of any output that cannot be written."""
    done = run(f"> {FULL}", *call)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: standard output cannot be written (No space left on device).")


@pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
def test_notes_that_cannot_be_written_end_nothing(tmp_path: Path) -> None:
    """A log of standard error on a full disk: the answer is the same, and so are exit codes."""
    data = folder(tmp_path / "data", {"cat": 3, "dog": 3})
    done = run(f"2> {FULL}", "inspect", str(data), "--json")
    assert done.returncode == 0
    assert done.stdout == run("", "inspect", str(data), "--json").stdout != ""
    assert run(f"2> {FULL}", "inspect", str(tmp_path / "nothing")).returncode == 2


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_error(redirection: str) -> None:
    """A program that starts this one may have closed them."""
    done = run(redirection, "plugins")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
