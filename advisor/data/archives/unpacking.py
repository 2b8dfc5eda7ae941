"""Images that do not lie as files on disk (archives, shards, tables of bytes, URLs), written once into the cache.

In: what identifies the content, and a function that writes files. Out: a folder that is complete or absent: it is filled
under a temporary name and renamed, and renamed again before it is deleted. Bounded in files and bytes. Does NOT cover:
which names are safe in an archive (`archive`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from advisor.errors import DatasetError
from advisor.runtime import atomic_file, cache, json_records

MAX_FILES = 5_000_000
MAX_BYTES = 200 * 1024**3  # of one data set, unpacked
MAX_RATIO = 200  # unpacked over packed bytes; images hardly compress, a bomb reaches 1,000
KEPT_BYTES = 100 * 1024**3  # all unpacked data sets together; the least recently used are deleted
MARK = ".complete"
CODE = 2  # increment when the same files would be unpacked differently: copies of earlier versions are not used then
_CHUNK = 1 << 20
COPIES = {"unpacked data": "unpacked", "remote data": "remote"}  # kind as `tl-advise cache` names it -> folder


class UnpackingLimits:
    """Counts what is written and raises DatasetError beyond the bounds; `packed_bytes` 0 disables the ratio."""

    def __init__(self, shown: str, packed_bytes: int = 0) -> None:
        self.shown = shown
        self.files = 0
        self.bytes = 0
        self.most_bytes = min(MAX_BYTES, max(_CHUNK * 64, packed_bytes * MAX_RATIO)) if packed_bytes else MAX_BYTES

    def add(self, size_bytes: int, *, files: int = 0) -> None:
        """Count bytes, and files begun. Raises DatasetError."""
        self.files += files
        self.bytes += size_bytes
        if self.files > MAX_FILES or self.bytes > self.most_bytes:
            raise DatasetError(
                f"{self.shown} unpacks to more than {self.most_bytes / 1e9:.1f} GB or {MAX_FILES:,} files.",
                hint="Unpack it yourself if you trust it, and give the folder.",
            )


def file_key(paths: Iterable[Path]) -> str:
    """Return a hash of the names and contents of files, and of how they are unpacked."""
    digest = hashlib.sha256(b"%d\0" % CODE)
    for path in paths:
        digest.update(os.fsencode(path.name) + b"\0")
        with open(path, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def folder(key: str, fill: Callable[[Path], None], *, origin: Path) -> Path:
    """Return the folder that `fill` wrote for this key, now or earlier. Raises DatasetError where the disk is full.

    `origin` is the file or folder whose content this is; messages name it (`given`).
    """
    parent = cache.default_dir() / "unpacked"
    path = parent / key[:32]
    if (path / MARK).exists():
        with contextlib.suppress(OSError, ValueError):
            _use_again(path / MARK, os.path.abspath(origin))
        return path
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".filling-", dir=parent))
    except OSError as error:
        raise unwritable(parent, error) from error
    try:
        with in_use(temporary):
            fill(temporary)
            finish(temporary, path, origin=os.path.abspath(origin))
    except OSError as error:
        raise unwritable(parent, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def finish(filled: Path, path: Path, *, origin: str = "") -> None:
    """Mark a filled folder as complete and move it to its place; the least recently used ones beside it make room.

    `origin` is what it was made from, for messages and for `tl-advise cache`.
    """
    size = _bytes_below(filled)
    (filled / MARK).write_text(json.dumps({"bytes": size, "origin": origin}))
    try:
        filled.rename(path)
    except OSError:
        if not (path / MARK).exists():  # what an interrupted deletion left
            atomic_file.remove_folder(path)
            filled.rename(path)
        # else another process was faster: its folder is as good
    _make_room(path, size)


@contextlib.contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Mark a folder as being filled, so that `clear` leaves it alone; the mark goes with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _is_in_use(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _use_again(mark: Path, origin: str) -> None:
    """Note that a folder was used now, and by which of several equal files. Raises OSError, ValueError."""
    facts = _facts(mark)
    if facts.get("origin") == origin:
        os.utime(mark)
        return
    with tempfile.NamedTemporaryFile("w", dir=mark.parent, prefix=MARK, delete=False) as stream:
        json.dump({**facts, "origin": origin}, stream)
    os.replace(stream.name, mark)


def is_mark(path: str) -> bool:
    """Return True for the file that marks a copy in the cache as complete, which is none of the data."""
    if not os.path.basename(path).startswith(MARK):
        return False
    parent = os.path.dirname(os.path.dirname(os.path.abspath(path)))
    return any(parent == os.path.abspath(cache.default_dir() / name) for name in COPIES.values())


def _facts(mark: Path) -> dict[str, Any]:
    """Return what a mark states; where it is damaged, the bytes beside it. Raises OSError."""
    with contextlib.suppress(ValueError):
        facts = json_records.plain(mark.read_text())
        if isinstance(facts, dict) and isinstance(facts.get("bytes"), int):
            return facts
    return {"bytes": _bytes_below(mark.parent)}


def _bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def given(path: str | Path) -> str:
    """Return a path as a user knows it: of a copy in the cache, the archive, table or URL and the file within it."""
    text = os.fspath(path)
    for name in COPIES.values():
        relative = os.path.relpath(text, cache.default_dir() / name)
        key, _, member = relative.partition(os.sep)
        if key != os.pardir:
            with contextlib.suppress(OSError, KeyError):
                origin = str(_facts(cache.default_dir() / name / key / MARK)["origin"])
                container = given(origin)
                return container if not member or posixpath.basename(container) == member else f"{container}/{member}"
    return text


def write(path: Path, blocks: Iterable[bytes], limits: UnpackingLimits) -> None:
    """Write one file below an unpacked folder, counting it against the limits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    limits.add(0, files=1)
    with open(path, "wb") as stream:
        for block in blocks:
            limits.add(len(block))
            stream.write(block)


def _make_room(newest: Path, size_bytes: int) -> None:
    """Delete the least recently used folders beside the newest one until all of them fit."""
    marks = sorted(newest.parent.glob(f"*/{MARK}"), key=lambda mark: mark.stat().st_mtime, reverse=True)
    used = size_bytes
    for mark in marks:
        if mark.parent == newest:
            continue
        with contextlib.suppress(OSError):
            used += _facts(mark)["bytes"]
        if used > KEPT_BYTES:
            atomic_file.remove_folder(mark.parent)
    for left in newest.parent.glob(atomic_file.DELETED):
        shutil.rmtree(left, ignore_errors=True)


def unwritable(parent: Path, error: OSError) -> DatasetError:
    """Return the error of a cache folder that cannot be written."""
    return DatasetError(
        f"cannot write into {parent}: {error.strerror or error}.",
        hint="Free disk space, set TL_ADVISE_CACHE to another folder, or give a folder that needs no copy.",
    )


def copies() -> tuple[cache.CacheEntry, ...]:
    """List the copies of data sets in the cache, the most recently used first."""
    entries = []
    for kind, name in COPIES.items():
        for mark in (cache.default_dir() / name).glob(f"*/{MARK}"):
            with contextlib.suppress(OSError):
                facts = _facts(mark)
                fields = {"origin": facts["origin"]} if facts.get("origin") else {}
                used_s, size = mark.stat().st_mtime, facts["bytes"]
                path = mark.parent
                entries.append(
                    cache.CacheEntry(key=path.name, kind=kind, fields=fields, bytes=size, used_s=used_s, path=path)
                )
    return tuple(sorted(entries, key=lambda entry: (-entry.used_s, entry.key)))


def clear(kind: str | None = None) -> int:
    """Delete all copies, or those of one kind, and what interrupted transfers left; return the bytes that were freed."""
    freed = 0
    for entry in copies():
        if kind is None or entry.kind == kind:
            atomic_file.remove_folder(entry.path)
            freed += 0 if entry.path.exists() else entry.bytes
    for name in COPIES.values():
        parent = cache.default_dir() / name
        for left in (*parent.glob(".filling-*"), *parent.glob(".partial-*"), *parent.glob(atomic_file.DELETED)):
            if kind in (None, next(k for k, n in COPIES.items() if n == name)) and not _is_in_use(left):
                shutil.rmtree(left, ignore_errors=True)
    return freed
