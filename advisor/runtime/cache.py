"""A content-addressed store of arrays and small files in the user's cache directory, bounded in bytes.

An entry is found by the facts that shaped it (a flat mapping, hashed), so a change of any fact misses. Written to a
reserved temporary file and renamed, so that a reader sees a whole entry or none; two processes that want the same entry
compute it once (`lock`). The least recently used entries make room. Does NOT cover: what is stored, and a file that
somebody cuts while it is mapped (the operating system ends that process; its owner starts another).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from advisor.aliases import AnyArray
from advisor.errors import CacheFullError, InputError
from advisor.runtime import atomic_file, json_records, stored_arrays
from advisor.runtime.process import process_lock

Fields = Mapping[str, Any]
ENVIRONMENT = "TL_ADVISE_CACHE"
CAP_BYTES = 20 * 1024**3  # at most, and never more than half of what the disk could give
_log = logging.getLogger(__name__)
_HEADER_BYTES = 128  # of a .npy file with a short shape


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheEntry:
    """One stored file: what it is (`fields`), its size, when it was last used (seconds since 1970)."""

    key: str
    kind: str
    fields: dict[str, Any]
    bytes: int
    used_s: float
    path: Path


def default_dir() -> Path:
    """Return where the cache lies: TL_ADVISE_CACHE, or the user's cache directory of the platform.

    A user without a home, as in a container that runs under a bare number, has it below the directory of temporary files.
    Raises InputError where somebody else owns that folder.
    """
    stated = os.environ.get(ENVIRONMENT)
    if stated:
        return Path(os.path.expanduser(stated))  # unlike Path.expanduser, it leaves "~" where no home is known
    import platformdirs

    usual = Path(platformdirs.user_cache_dir("tl-advise"))
    if usual.is_absolute():
        return usual
    temporary = Path(tempfile.gettempdir()) / f"tl-advise-{os.getuid()}"
    if temporary.exists() and temporary.stat().st_uid != os.getuid():
        raise InputError(f"{temporary} belongs to somebody else.", hint=f"Set {ENVIRONMENT} to a folder of your own.")
    return temporary


class Store:
    """A bounded store under one directory. `kind` in the fields, if given, names what an entry is when it is listed."""

    def __init__(self, directory: Path | str | None = None, cap_bytes: int | None = None) -> None:
        self.directory = Path(directory) if directory is not None else default_dir() / "store"
        self._cap_bytes = cap_bytes

    @property
    def cap_bytes(self) -> int:
        """Bytes that all entries together may take."""
        if self._cap_bytes is not None:
            return self._cap_bytes
        folder = self.directory
        while not folder.exists():
            folder = folder.parent
        return min(CAP_BYTES, (shutil.disk_usage(folder).free + self.used_bytes()) // 2)

    def used_bytes(self) -> int:
        """Bytes that all entries together take now."""
        return sum(entry.bytes for entry in self.entries())

    def get(self, fields: Fields) -> Path | None:
        """Return the file stored under `fields`, or None; marks it as used."""
        path = self._path(fields)
        facts = self._facts(path)
        if facts is None or not _whole(path, facts["bytes"]):
            return None
        with contextlib.suppress(OSError):  # a read-only cache still serves
            os.utime(path)
        return path

    def notes(self, fields: Fields) -> Any:
        """Return the notes stored beside an entry, None where there is none."""
        facts = self._facts(self._path(fields))
        return facts["notes"] if facts else None

    def put(self, fields: Fields, writer: Callable[[IO[bytes]], None], *, size_bytes: int = 0) -> Path:
        """Store what `writer` writes to a binary file, under `fields`; returns its path.

        `size_bytes`, where known, is reserved first. Raises CacheFullError, also for an OSError of the writer; anything else
        that the writer raises passes through. Nothing is kept then.
        """
        with self._space(fields, size_bytes) as (waiting, stream):
            writer(stream)
            return self._commit(fields, waiting, stream, None)

    def array(self, fields: Fields) -> AnyArray | None:
        """Map a stored array, read-only; None where it is missing or its file has not the size that it should have."""
        path = self.get(fields)
        if path is None:
            return None
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except stored_arrays.DAMAGED:
            return None

    def keep(self, fields: Fields, array: AnyArray, *, notes: Any = None) -> AnyArray:
        """Store an array and return it mapped, read-only. Raises CacheFullError."""
        array = np.ascontiguousarray(array)
        return self.keep_rows(fields, iter((array,)), array.shape, array.dtype, notes=lambda: notes)

    def keep_rows(
        self,
        fields: Fields,
        blocks: Iterable[AnyArray],
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        notes: Callable[[], Any] = lambda: None,
        lasting: Callable[[], bool] = lambda: True,
    ) -> AnyArray:
        """Store an array that comes in blocks of rows and return it mapped, read-only, never whole in memory.

        `notes()` is asked after the last block. Where `lasting()` is then false the array is returned but not kept.
        Raises CacheFullError; what `blocks` raises passes through, and nothing is kept.
        """
        kind = np.dtype(dtype)
        size = _HEADER_BYTES + int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        with self._space(fields, size) as (waiting, stream):
            np.lib.format.write_array_header_1_0(
                stream, {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": tuple(shape)}
            )
            for block in blocks:
                stream.write(np.ascontiguousarray(block, dtype=kind).data)
            if lasting():
                path = self._commit(fields, waiting, stream, notes())
            else:
                atomic_file.settle(stream)
                path = waiting
            # Mapped before a temporary name goes: the pages outlive it.
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def lock(self, fields: Fields) -> Iterator[None]:
        """Hold the entry while it is looked up and computed, so that two processes do not compute it twice.

        A process that dies lets go. Where a lock cannot be had, or its holder was stopped, goes on without: an entry is whole
        anyway.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, NotImplementedError):
                path = self.directory / "locks" / f"{key(fields)}.lock"
                if not stack.enter_context(process_lock.held(path)):
                    _log.warning("%s is held by a process that does not respond (stopped?). Going on without it.", path)
            yield

    def entries(self) -> tuple[CacheEntry, ...]:
        """List what is stored, the most recently used first."""
        entries = []
        for note in self.directory.glob("*/*.json"):
            path = note.with_suffix(".bin")
            facts = self._facts(path)
            try:
                state = path.stat()
            except OSError:
                continue
            if facts is not None:
                kind = str(facts["fields"].get("kind", "other"))
                entries.append(
                    CacheEntry(
                        key=path.stem,
                        kind=kind,
                        fields=facts["fields"],
                        bytes=state.st_size,
                        used_s=state.st_mtime,
                        path=path,
                    )
                )
        return tuple(sorted(entries, key=lambda entry: (-entry.used_s, entry.key)))

    def clear(self, kind: str | None = None) -> int:
        """Delete all entries, or those of one kind; returns the bytes that were freed."""
        freed = 0
        for entry in self.entries():
            if kind is None or entry.kind == kind:
                self._delete(entry)
                freed += 0 if entry.path.exists() else entry.bytes  # a folder may not be writable
        atomic_file.sweep(self.directory / "tmp")
        return freed

    def _path(self, fields: Fields) -> Path:
        name = key(fields)
        return self.directory / name[:2] / f"{name}.bin"

    def _facts(self, path: Path) -> dict[str, Any] | None:
        try:
            facts = json_records.plain(path.with_suffix(".json").read_text(encoding="utf-8"))
            is_entry = {"fields", "bytes", "notes"} <= facts.keys() and isinstance(facts["fields"], dict)
            return facts if is_entry else None
        except (OSError, ValueError, AttributeError):
            return None

    @contextlib.contextmanager
    def _space(self, fields: Fields, size_bytes: int) -> Iterator[tuple[Path, IO[bytes]]]:
        """Make room under the cap and open a reserved temporary file; disk errors become CacheFullError."""
        folder = self.directory / "tmp"
        atomic_file.sweep(folder)
        self._evict(size_bytes)
        waiting = folder / f"{key(fields)}.{os.getpid()}.{time.monotonic_ns()}"
        try:
            with atomic_file.opened(waiting, size_bytes) as stream:
                yield waiting, stream
        except OSError as error:
            raise self._full(error) from error

    def _commit(self, fields: Fields, waiting: Path, stream: IO[bytes], notes: Any) -> Path:
        size_bytes = atomic_file.settle(stream)
        path = self._path(fields)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"fields": dict(fields), "bytes": size_bytes, "notes": notes, "made_s": time.time()}
        beside = waiting.with_name(waiting.name + ".json")
        beside.write_text(json.dumps(facts, default=str), encoding="utf-8")
        # The facts first: an array without them is invisible, facts without their array are.
        os.replace(beside, path.with_suffix(".json"))
        os.replace(waiting, path)
        return path

    def _evict(self, needed_bytes: int) -> None:
        """Delete the least recently used entries until `needed_bytes` more bytes fit under the cap."""
        entries, cap = list(self.entries()), self.cap_bytes
        if needed_bytes > cap:
            raise CacheFullError(
                f"The cache holds {cap / 1e6:,.1f} MB at most and {needed_bytes / 1e6:,.1f} MB are needed."
            )
        used = sum(entry.bytes for entry in entries)
        while entries and used + needed_bytes > cap:
            oldest = entries.pop()
            self._delete(oldest)
            used -= oldest.bytes

    def _delete(self, entry: CacheEntry) -> None:
        # A process that has it mapped keeps its pages.
        for path in (entry.path, entry.path.with_suffix(".json")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _full(self, error: OSError) -> CacheFullError:
        why = "the disk is full" if atomic_file.is_full(error) else error.strerror or type(error).__name__
        return CacheFullError(f"The cache at {self.directory} cannot be written: {why}.")


def key(fields: Fields) -> str:
    """Hash the facts that shape an entry; the order of the fields does not matter, any value does."""
    return hashlib.sha256(json.dumps(dict(fields), sort_keys=True, default=str).encode()).hexdigest()


def _whole(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False
