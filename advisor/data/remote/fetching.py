"""Fetch what a URL names into the cache, once: a folder with the files, complete or absent.

In: a URL of a folder, an archive, a table or an image. Out: a local path. The key is the URL with name, size and version
(ETag, checksum or time) of every file, so that a changed file is fetched again. Files are fetched into a folder that an
interrupted run leaves behind; the next one continues in it, within a file too where the store can. Bounded in files, in bytes
and by the free disk space. Does NOT cover: reading what was fetched (`layouts`), a table's images (`remote.data_sets`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from advisor.aliases import CountProgress, Note
from advisor.data.archives import archive, unpacking
from advisor.data.remote import urls
from advisor.errors import DatasetError
from advisor.runtime import cache, json_records
from advisor.runtime.process import process_lock

MAX_FILES = unpacking.MAX_FILES
MAX_BYTES = unpacking.MAX_BYTES
KEPT_BYTES = unpacking.KEPT_BYTES
CONNECTIONS = 8
ATTEMPTS = 3
_BLOCK = 1 << 20
_OF_CONTENT = ("ETag", "etag", "md5Hash", "Content-MD5", "content_hash")  # versions that no two files share
_VERSIONS = (*_OF_CONTENT, "mtime", "LastModified", "Last-Modified", "updated", "created")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file in a store: its path there, where it goes below the folder, its bytes (-1: unknown) and version.

    `is_content` where the version tells contents apart; a time does not.
    """

    path: str
    relative: str
    bytes: int
    version: str
    is_content: bool = False


def fetch(
    filesystem: Any,
    url: str,
    files: Sequence[RemoteFile],
    *,
    note: Note | None = None,
    progress: CountProgress | None = None,
) -> Path:
    """Return the folder that holds these files, fetched now or earlier. Raises DatasetError."""
    parent = cache.default_dir() / "remote"
    # A time and a size may be those of two files that differ in the query; a signed address changes, the content does not.
    address = urls.shown(url) if all(f.is_content for f in files) else urls.restored(url)
    identity = [address, *(f"{f.relative}\0{f.bytes}\0{f.version}" for f in files)]
    key = hashlib.sha256("\n".join(sorted(identity)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    folder = parent / key
    if (folder / unpacking.MARK).exists():
        with contextlib.suppress(OSError):
            os.utime(folder / unpacking.MARK)
        return folder
    total = _check_bounds(url, files, parent)
    if note is not None:
        size = f"{total / 1e6:,.1f} MB" if total else "unknown size"
        note(f"fetching {len(files):,} files ({size}) from {urls.shown(url)} into {parent}, once")
    partial = parent / f".partial-{key}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / f".{key}.lock"):
            if not (folder / unpacking.MARK).exists():
                partial.mkdir(exist_ok=True)
                with unpacking.in_use(partial):
                    _fetch_all(filesystem, url, files, partial, progress)
                    unpacking.finish(partial, folder, origin=urls.shown(url))
    except OSError as error:
        raise unpacking.unwritable(parent, error) from error
    return folder


def _check_bounds(url: str, files: Sequence[RemoteFile], parent: Path) -> int:
    """Return the bytes to fetch, as far as they are known. Raises DatasetError beyond the bounds."""
    total = sum(max(0, f.bytes) for f in files)
    existing = next(p for p in (parent, *parent.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if len(files) > MAX_FILES or total > MAX_BYTES:
        raise DatasetError(
            f"{urls.shown(url)} holds {len(files):,} files of {total / 1e9:.1f} GB: more than {MAX_FILES:,} files or "
            f"{MAX_BYTES / 1e9:.0f} GB.",
            hint="Download what you need and give the folder.",
        )
    if total > free:
        raise DatasetError(
            f"{urls.shown(url)} needs {total / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {existing}.",
            hint=f"Free disk space, or set {cache.ENVIRONMENT} to another folder.",
        )
    return total


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the fetching of a data set, for one process at a time. Raises DatasetError where a stopped one holds the lock."""
    with process_lock.held(path) as is_held:
        if not is_held:  # the stopped one may go on any time, in the same files
            raise DatasetError(
                f"{path} is held by a process that does not respond.",
                hint=f"Continue or end the one that fetches this data set, or set {cache.ENVIRONMENT} to another folder.",
            )
        yield


def _fetch_all(
    filesystem: Any, url: str, files: Sequence[RemoteFile], folder: Path, progress: CountProgress | None
) -> None:
    done = 0
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            for _ in pool.map(lambda file: _fetch_one(filesystem, url, file, folder), files):
                done += 1
                if progress is not None:
                    progress(done, len(files))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class _StoreError(Exception):
    """A failure of the store or the network; its cause is what was raised there, which may be an OSError as of a disk."""


@contextlib.contextmanager
def _of_store() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # every store has its own exceptions
        raise _StoreError from error


def _fetch_one(filesystem: Any, url: str, file: RemoteFile, folder: Path) -> None:
    """Fetch one file under another name and rename it; a file that is whole is not fetched again."""
    target = folder / archive.safe_name(file.relative, urls.shown(url))
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = target.with_name(f".part-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}")
    for attempt in range(ATTEMPTS):
        try:
            _continue_file(filesystem, file, waiting)
            os.replace(waiting, target)
            return
        except _StoreError as error:
            failure: BaseException = error.__cause__ or error
        except (DatasetError, OSError):
            raise  # a bound, or the disk
        except Exception as error:
            failure = error
        if attempt == ATTEMPTS - 1 or isinstance(failure, FileNotFoundError):
            raise urls.unreadable(file.path if "://" in file.path else url, failure) from failure


def _continue_file(filesystem: Any, file: RemoteFile, waiting: Path) -> None:
    """Fetch the rest of a file behind what an earlier attempt wrote. Raises DatasetError where it ends too early."""
    begun = waiting.stat().st_size if waiting.exists() and file.version else 0
    with contextlib.ExitStack() as stack:
        with _of_store():
            stream = stack.enter_context(filesystem.open(file.path, "rb"))
        out = stack.enter_context(open(waiting, "ab" if begun else "wb"))
        if begun and not _skipped(stream, begun):
            out.truncate(0)
            begun = 0
        written = begun
        while block := _next_block(stream):
            written += len(block)
            if written > MAX_BYTES:
                raise DatasetError(f"{file.relative} is larger than {MAX_BYTES / 1e9:.0f} GB.")
            out.write(block)
    if 0 <= file.bytes != written:
        if written > file.bytes:
            waiting.unlink()
        raise EOFError(f"{written:,} of {file.bytes:,} bytes arrived")


def _next_block(stream: IO[bytes]) -> bytes:
    with _of_store():
        return stream.read(_BLOCK)


def _skipped(stream: IO[bytes], begun: int) -> bool:
    """Move to where an earlier attempt ended; return False where the store cannot."""
    try:
        stream.seek(begun)
    except (OSError, ValueError, NotImplementedError):
        return False
    return True


def described(filesystem: Any, paths: Iterable[tuple[str, str]]) -> list[RemoteFile]:
    """Request size and version of (path, relative) pairs, several at a time; what does not exist is left out."""

    def one(pair: tuple[str, str]) -> RemoteFile | None:
        try:
            return from_info(filesystem.info(pair[0]), *pair)
        except FileNotFoundError:
            return None

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [file for file in pool.map(one, paths) if file is not None]


def from_info(info: dict[str, Any], path: str, relative: str) -> RemoteFile:
    """Return a file from what its store says about it."""
    name = next((name for name in _VERSIONS if info.get(name)), "")
    size = -1 if info.get("size") is None else int(info["size"])
    version = str(info[name]) if name else ""
    return RemoteFile(path=path, relative=relative, bytes=size, version=version, is_content=name in _OF_CONTENT)


def remember(url: str, folder: Path, relative: str) -> None:
    """Note where the copy of a URL is, for when its server does not respond."""
    text = json.dumps({"folder": folder.name, "relative": relative})
    with contextlib.suppress(OSError):
        _noted(url).write_text(text, encoding="utf-8")


def remembered(url: str) -> Path | None:
    """Return the copy of a URL that was fetched last, None where there is none."""
    try:
        noted = json_records.plain(_noted(url).read_text(encoding="utf-8"))
        folder = cache.default_dir() / "remote" / str(noted["folder"])
        return folder / str(noted["relative"]) if (folder / unpacking.MARK).exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _noted(url: str) -> Path:
    name = hashlib.sha256(urls.restored(url).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return cache.default_dir() / "remote" / f"{name}.json"
