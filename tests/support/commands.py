"""A command of this tool in the process of the test: the same door, without the seconds that imports take in another one."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from advisor import cli


@dataclass(frozen=True)
class Output:
    """What a command wrote."""

    stdout: str
    stderr: str


def run(*call: str, code: int = 0) -> Output:
    """Run a command, demand its exit code, and return what it wrote."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        actual = cli.run(list(call))
    stdout, stderr = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))
    assert actual == code, stderr[-2000:]
    return Output(stdout, stderr)
