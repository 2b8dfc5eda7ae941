"""A ZIP or TAR of any folder layout: unpacked once into the cache, and read there.

Read safely: no member outside of the target, no links, no devices, bounded in files, bytes and ratio (`unpacking`). In a
TAR of samples (`0001.jpg` beside `0001.cls` or `0001.json`), a shard, `webdataset` reads. Does NOT cover: encrypted ZIP.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import lzma
import os
import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from advisor.data.archives import unpacking
from advisor.data.images import printable
from advisor.data.layouts import names
from advisor.errors import DatasetError, one_line

SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tbz2", ".txz")
_BLOCK = 1 << 20
# What Python raises for an archive whose bytes are wrong or end too early, and for one that is encrypted.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    struct.error,
)
_IS_UTF8 = 0x800  # the flag of a ZIP member whose name is UTF-8
_UNICODE_PATH = 0x7075  # the extra field of a ZIP member with its name in UTF-8, and a checksum of the other name


def is_archive(path: Path) -> bool:
    """Return True for a file with the suffix of a ZIP or TAR."""
    return os.path.isfile(path) and path.name.lower().endswith(SUFFIXES)


def contents(path: Path) -> Path:
    """Return the folder to read instead of an archive: what it holds, or the one folder in it. Raises DatasetError."""
    folder = unpacked(path)
    top = [entry for entry in sorted(folder.iterdir()) if not names.is_hidden(entry.name)]
    return top[0] if len(top) == 1 and (top[0].is_dir() or is_archive(top[0])) else folder


def unpacked(path: Path) -> Path:
    """Return the folder in the cache that holds an archive's files. Raises DatasetError."""
    return unpacking.folder(unpacking.file_key([path]), lambda folder: _unpack(path, folder), origin=path)


def stem(path: Path) -> str:
    """Return the name of an archive without its suffix, both parts of `.tar.gz` included."""
    suffix = max((s for s in SUFFIXES if path.name.lower().endswith(s)), key=len, default="")
    return path.name[: len(path.name) - len(suffix)] or path.name


def _unpack(path: Path, folder: Path) -> None:
    unpack(path, folder, unpacking.UnpackingLimits(printable(str(path)), path.stat().st_size))


def unpack(path: Path, folder: Path, limits: unpacking.UnpackingLimits) -> None:
    """Unpack an archive into a folder within limits. Raises DatasetError where it is damaged, unsafe or too large."""
    shown = printable(str(path))
    try:
        is_zip = zipfile.is_zipfile(path)
        if not is_zip and path.suffix.lower() == ".zip" and not tarfile.is_tarfile(path):
            raise zipfile.BadZipFile("no complete ZIP archive")
        members = _zip_members(path) if is_zip else _tar_members(path, folder, limits)
        for name, stream in members:
            relative = safe_name(name, shown)
            if relative and not any(names.is_hidden(part) for part in relative.split("/")):
                _write(folder, relative, stream, limits)
    except (OSError, *DAMAGED) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of a file system; one without a number is of a decoder, which found wrong bytes
        raise DatasetError(
            f"{shown} cannot be unpacked: {one_line(error)}.", hint="Check the file, or unpack it yourself."
        ) from error


def _write(folder: Path, relative: str, stream: IO[bytes], limits: unpacking.UnpackingLimits) -> None:
    """Write one member. Raises DatasetError where its name cannot be a file beside the others; OSError for the disk."""
    try:
        unpacking.write(folder / relative, _blocks(stream), limits)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        reason = "a file and a folder have the same name"
        raise DatasetError(
            f"{limits.shown}: member {printable(relative)}: {reason}.", hint="Unpack it yourself."
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise
        raise DatasetError(
            f"{limits.shown}: member {printable(relative)[:80]}...: {error.strerror}.", hint="Unpack it yourself."
        ) from error


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def safe_name(name: str, shown: str) -> str:
    """Return a member's path below the target. Raises DatasetError where it leads outside of it."""
    plain = posixpath.normpath(name.replace("\\", "/"))
    if plain.startswith(("/", "../")) or plain == ".." or (len(plain) > 1 and plain[1] == ":") or "\0" in plain:
        raise DatasetError(
            f"{shown}: member {printable(name)} lies outside of the archive.",
            hint="Do not use archives of this origin.",
        )
    return "" if plain == "." else plain


def _zip_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        is_utf8 = _is_utf8(members)
        for info in members:
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            name = _zip_name(info, is_utf8=is_utf8)
            if not name.endswith(("/", "\\")) and not is_link:
                with archive.open(info) as stream:
                    yield name, stream


def _zip_name(info: zipfile.ZipInfo, *, is_utf8: bool) -> str:
    """Return a member's name as the archive states it, read as UTF-8 where all names that state nothing `is_utf8`."""
    if _states_nothing(info):
        return info.filename.encode("cp437").decode("utf-8") if is_utf8 else info.filename
    return info.filename if info.flag_bits & _IS_UTF8 else _stated_name(info) or info.filename


def _is_utf8(members: Sequence[zipfile.ZipInfo]) -> bool:
    """Return True where all names without a stated encoding are UTF-8: macOS does not set the flag that says so."""
    try:
        for info in members:
            if _states_nothing(info):
                info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        # One name alone may be UTF-8 by chance: two bytes of a Chinese character are a Latin letter there.
        return False
    return True


def _states_nothing(info: zipfile.ZipInfo) -> bool:
    return not info.filename.isascii() and not info.flag_bits & _IS_UTF8 and not _stated_name(info)


def _stated_name(info: zipfile.ZipInfo) -> str:
    """Return the name in UTF-8 that Info-ZIP, 7-Zip and others write beside another; "" where there is none."""
    extra, start = info.extra, 0
    while start + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, start)
        field = extra[start + 4 : start + 4 + size]
        start += 4 + size
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            with contextlib.suppress(UnicodeError):
                raw = info.orig_filename.encode("cp437")
                if zlib.crc32(raw) == struct.unpack_from("<I", field, 1)[0]:
                    return field[5:].decode("utf-8").partition("\0")[0]
    return ""


def guessed_name(path: Path) -> str:
    """Return a member's name of which a ZIP states no encoding, as it is read; "" where all are certain."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, *DAMAGED):
        return ""
    return "" if _is_utf8(members) else next(info.filename for info in members if _states_nothing(info))


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes] | None:
    return archive.extractfile(info) if info.isreg() else None


def _earlier(folder: Path, info: tarfile.TarInfo, shown: str) -> IO[bytes] | None:
    """Open the unpacked file that a hard link is another name of; None where it was left out."""
    target = safe_name(os.fsdecode(os.fsencode(info.linkname)), shown)
    is_itself = target == safe_name(os.fsdecode(os.fsencode(info.name)), shown)
    return None if is_itself or not (folder / target).is_file() else open(folder / target, "rb")


def _tar_members(path: Path, folder: Path, limits: unpacking.UnpackingLimits) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield names and contents, and read what follows the last member: the checksum over all of them stands at the end."""
    with tarfile.open(path, "r:*") as archive:
        for info in archive:
            # A hard link is a second name of an earlier member; symbolic links and devices are left out.
            name = os.fsdecode(os.fsencode(info.name))
            stream = _earlier(folder, info, limits.shown) if info.islnk() else _content(archive, info)
            if stream is not None:
                with stream:
                    yield name, stream
        for block in _blocks(cast("IO[bytes]", archive.fileobj)):
            limits.add(len(block))
