"""Standard streams of a process: an answer that cannot be written is an error, a note that cannot be written is lost.

In: nothing. Out: `sys.stdout` and `sys.stderr` in place. A run of hours must not end since a line of its log does not fit on
a disk, or its terminal is gone. Does NOT cover: what is written to them (`cli._console`).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from advisor.errors import OutputError


class _Answer(io.FileIO):
    """Standard output: the first write that the system refuses is an error, what follows is discarded."""

    is_lost = False

    def write(self, data: Any) -> int:
        if self.is_lost:  # the interpreter tries again when it ends
            return memoryview(data).nbytes
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            raise  # the reader left, and needs no more
        except OSError as error:
            self.is_lost = True
            raise OutputError(
                f"standard output cannot be written ({error.strerror}).",
                hint="Write it elsewhere. What the command made is kept: `tl-advise show RUN` prints a result again.",
            ) from error


class _Log(io.FileIO):
    """Standard error: takes everything, and what the system refuses is lost."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            return super().write(data) or 0
        return memoryview(data).nbytes


def prepare() -> None:
    """Replace both streams; where one is closed, discard what goes there.

    The number of a closed stream (0, 1, 2) would be given to the next file that is opened, and take what is meant for the
    stream. What an encoding lacks (ISO-8859-9 has no dash) is written as an escape on both.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.stdout = _on(_Answer, sys.stdout)
    sys.stderr = _on(_Log, sys.stderr)


def _on(kind: type[io.FileIO], stream: Any) -> Any:
    """Return a text stream on the file of `stream`, buffered as that is; the very stream where it is no file's."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or stream is sys.stderr,
        write_through=stream.write_through,
    )
