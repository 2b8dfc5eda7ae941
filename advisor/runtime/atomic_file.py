"""Files that are whole at any instant: written beside their name, flushed to the disk and renamed.

In: bytes, text or records. Out: files; `remove_folder` deletes a folder as a whole. `replacing` and `write_atomically`
replace a file of moderate size; `opened` reserves the space of a large one first and removes it unless it was renamed. A write
through a memory map to a full disk ends the process (SIGBUS) and cannot be caught; so data goes through write(), and readers
map the finished file. Does NOT cover: names and contents (`cache`, `run_dir`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from advisor.errors import OutputError

_STALE_S = 60.0  # a file that nobody holds and that is older than this was left by a process that died
_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # a file system that cannot reserve
DELETED = ".deleted-*"  # what `remove_folder` renames a folder to
STAGING = ".staging-"  # how a folder begins in which files are put together (`RunDir.staging`)
_UNFINISHED_FILE = re.compile(r"\..+\.\d+\.tmp|\.tmp\w{6}")  # of `replacing`; of safetensors within it
_UNFINISHED_FOLDER = re.compile(rf"{re.escape(STAGING)}.+|\.deleted-[0-9a-f]{{32}}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: OSError) -> bool:
    """Return True where a disk, a quota or a limit of size leaves no room."""
    return error.errno in _FULL


def takes_nothing(error: OSError) -> bool:
    """Return True where a disk takes nothing: it is full, or became read-only."""
    return is_full(error) or error.errno == errno.EROFS


@contextlib.contextmanager
def opened(path: Path, size_bytes: int = 0) -> Iterator[IO[bytes]]:
    """Open a new file for writing with `size_bytes` reserved; at the end it is removed if it still has this name.

    Raises OSError (ENOSPC where the disk is full).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = open(path, "xb")  # noqa: SIM115  (closed below, where a last flush may fail)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX)  # marks it as in use for `sweep`
        if size_bytes and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(stream.fileno(), 0, size_bytes)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
        yield stream
    finally:
        with contextlib.suppress(OSError):  # the last buffer may not fit; the file goes anyway
            stream.close()
        path.unlink(missing_ok=True)


def settle(stream: IO[bytes]) -> int:
    """Cut off what was reserved but not written, flush to the disk, and return the size in bytes."""
    size_bytes = stream.tell()
    stream.truncate()
    stream.flush()
    os.fsync(stream.fileno())
    return size_bytes


def sweep(folder: Path) -> None:
    """Delete files that were left by processes which died: old, and locked by nobody."""
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):  # held by a living process, or already gone
            if time.time() - path.stat().st_mtime < _STALE_S:
                continue
            with open(path, "rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside `path`; the file written there is then flushed to the disk and replaces `path`.

    Where that fails, the new file is removed and `path` is left as it was. The file has the permissions of any new file:
    a writer that makes its own (safetensors) would leave one that only its owner can read.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        permissions = temporary.stat().st_mode
        yield temporary
        temporary.chmod(permissions)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` so that a reader sees the old or the new whole file.

    Raises OutputError where the disk is full or the folder cannot be written.
    """
    payload = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(payload)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}).", hint="Free some space, or write into another folder."
        ) from error


def remove_folder(path: Path) -> None:
    """Delete a folder that is trusted by its name: it is renamed first, so that a kill leaves no part of it under that name.

    What cannot be deleted stays, without an error. A kill leaves a folder that `DELETED` matches.
    """
    aside = path.with_name(f".deleted-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def remove_unfinished(folder: Path, below: Iterable[str] = ()) -> None:
    """Delete what killed processes left in a folder, and anywhere below some of its subfolders, and did not put in its place.

    Only the process that alone writes there may do this.
    """
    for path in chain(folder.glob(".*"), *((folder / name).rglob(".*") for name in below)):
        with contextlib.suppress(OSError):  # in a folder that has just gone
            if _UNFINISHED_FOLDER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif _UNFINISHED_FILE.fullmatch(path.name):
                path.unlink()


def to_json(record: Any) -> str:
    """Return any record as JSON: indented, keys in field order, nan and infinities as null; names as in `json_text`."""
    import msgspec

    plain = _finite(msgspec.to_builtins(record, enc_hook=dict))  # the hook is for read-only mappings
    return json_text(plain, indent=2) + "\n"


def json_text(plain: Any, indent: int | None = None) -> str:
    """Return plain values as JSON that is valid UTF-8, with letters of all scripts as they are.

    A byte of a name that is not UTF-8 is a lone surrogate in Python, and becomes an escape that `json.loads` reads back.
    """
    text = json.dumps(plain, indent=indent, ensure_ascii=False)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
