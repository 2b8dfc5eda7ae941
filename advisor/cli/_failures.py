"""How a command that failed ends: one line on standard error, what, where and what to do, and the exit code of the contract.

In: an exception. Out: the line and the code; what none of the commands expects is a bug and shows its traceback. Where memory
is short, saying so needs memory: some is set aside at the start, and what even that cannot print is written as plain bytes.
Does NOT cover: which error a command raises (`advisor.errors`).
"""

from __future__ import annotations

import errno
import os
import sys
import traceback

import click

from advisor.errors import AdviseError, InputError, OutputError, is_out_of_memory, one_line
from advisor.safe_text import printable, shortened

# Of address space, until it is touched: enough to import and print what reports a shortage (chosen).
RESERVE_BYTES = 8_000_000
# In messages of the interpreter, of torch and of the loader of libraries.
SHORTAGES = ("start new thread", "mmap", "failed to map", "allocate")
FREE_MEMORY = "Free memory, or raise the limits (`ulimit -a`)."
NO_MEMORY_TO_SAY_SO = f"error: memory ran out. {FREE_MEMORY}\n".encode()
# Why a path that a person named cannot be used.
REFUSED = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM)
# Set aside as the command line is imported: an allocation that fails leaves nothing to report it with.
_reserve = [bytearray(RESERVE_BYTES)]


def fail(error: AdviseError) -> int:
    """Print an error in one line on standard error; return its exit code."""
    from advisor.cli import _console

    _console.say(f"error: {' '.join(str(error).split())}", stderr=True)
    return error.exit_code


def fail_of_bug(error: Exception) -> int:
    """Print where an error came from that none of the commands expects; return its exit code."""
    sys.stderr.write(
        "".join(printable(line) + "\n" for line in "".join(traceback.format_exception(error)).splitlines())
    )
    return fail(AdviseError(f"{type(error).__name__}: {error}.", hint="This is a bug: please report the lines above."))


def fail_of_usage(error: click.ClickException) -> int:
    """Print what is wrong with the call, and where its options are explained; return its exit code."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "tl-advise"
    message = error.format_message().rstrip()
    end = "" if message.endswith((".", "?", "!")) else "."
    return fail(InputError(f"{message}{end}", hint=f"See `{path} --help`."))


def fail_of_system(error: OSError) -> int:
    """Print what the system refused: a write to a full disk, a path, or anything else; return the exit code."""
    from advisor.runtime.atomic_file import takes_nothing

    if takes_nothing(error):
        where = error.filename or "a file"
        text = f"{where}: cannot be written ({error.strerror})."
        return fail(OutputError(text, hint="Free some space, then run the command again."))
    if error.errno in REFUSED and isinstance(error.filename, str):
        path = shortened(error.filename)
        return fail(InputError(f"{path}: cannot be used ({error.strerror}).", hint="Check its name and permissions."))
    return fail(AdviseError(f"{type(error).__name__}: {error}.", hint="Is the disk full, or memory short?"))


def fail_of_shortage(error: BaseException) -> int:
    """Print that memory or processes are short, in plain bytes where nothing else is left; return the exit code.

    The frames that led to the error hold what they had allocated: they are let go first.
    """
    _reserve.clear()
    error.__traceback__ = error.__context__ = error.__cause__ = None
    try:
        text = f"{one_line(error)}." if str(error) and not isinstance(error, SystemError) else "memory ran out."
        return fail(AdviseError(text, hint=FREE_MEMORY))
    except (MemoryError, SystemError, ImportError, OSError):
        os.write(2, NO_MEMORY_TO_SAY_SO)
        return AdviseError.exit_code


def is_shortage(error: BaseException) -> bool:
    """Return True where memory or processes are short: RuntimeError of torch and threading, ImportError of the loader.

    The interpreter may fail to make even a MemoryError: a SystemError is left then ("error return without exception set").
    What is raised while a MemoryError is handled is of the same kind, whatever its type.
    """
    words = isinstance(error, RuntimeError | ImportError) and any(w in str(error).lower() for w in SHORTAGES)
    if words or isinstance(error, SystemError) or is_out_of_memory(error):
        return True
    earlier = error.__cause__ or error.__context__
    return earlier is not None and is_shortage(earlier)


def end_without_reader() -> int:
    """End quietly where the reader of standard output is gone (`| head`): nothing is wrong here."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
