"""A data set or images by URL -> local paths: a folder, an archive or a table with the images that it names.

In: a path or URL as a user gave it. Out: a local path that `layouts` reads as if it had been given. Does NOT cover: the
transfer itself (`remote.fetching`).
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from advisor.aliases import CountProgress, Note
from advisor.data.archives import archive
from advisor.data.images import IMAGE_SUFFIXES
from advisor.data.layouts import manifest, names
from advisor.data.remote import fetching, urls
from advisor.data.remote.fetching import RemoteFile
from advisor.data.tables import rows
from advisor.errors import DatasetError, InputError
from advisor.records.data import ReadOptions

MAX_TABLE_BYTES = 512 * 1024**2


def local(
    path: str | PathLike[str],
    options: ReadOptions,
    *,
    offline: bool = False,
    note: Note | None = None,
    progress: CountProgress | None = None,
) -> Path:
    """Return a path as it is, and for a URL the local copy of what it names.

    With `offline`, or where the server does not respond, the copy that was fetched last is used. Raises DatasetError where
    there is none or nothing can be read, InputError where a package is missing.
    """
    if not str(path):
        raise InputError("the path of the data set is empty.", hint="Give a folder, a table or an archive.")
    if not urls.is_url(path):
        return Path(urls.plain_path(path))
    url = urls.restored(path)
    copy = fetching.remembered(url)
    if offline:
        if copy is None:
            raise InputError(f"{urls.shown(url)} was not fetched before.", hint="Run it once without --offline.")
        return copy
    try:
        return _current(url, options, note, progress)
    except DatasetError as error:
        if copy is None:
            raise
        if note is not None:
            note(f"{error.what} The copy that was fetched before is used.")
        return copy


def _current(url: str, options: ReadOptions, note: Note | None, progress: CountProgress | None) -> Path:
    filesystem, path = urls.open_store(url)
    try:
        files, relative = _listed(filesystem, url, path, options)
    except (DatasetError, InputError):
        raise
    except Exception as error:  # every store has its own exceptions
        raise urls.unreadable(url, error) from error
    folder = fetching.fetch(filesystem, url, files, note=note, progress=progress)
    fetching.remember(url, folder, relative)
    return folder / relative


def images(url: str) -> list[tuple[str, Path]]:
    """Fetch one image, the images below a folder, or those that match a pattern; return (URL, local path) of each.

    Raises DatasetError, or InputError where a package is missing.
    """
    filesystem, path = urls.open_store(url)
    try:
        files = _images(filesystem, url, path)
    except Exception as error:  # every store has its own exceptions
        raise urls.unreadable(url, error) from error
    if not files:
        raise DatasetError(f"{urls.shown(url)}: no images found.", hint="Give images, or a folder of them.")
    folder = fetching.fetch(filesystem, url, files)
    return [(_address(url, file), folder / file.relative) for file in files]


def _listed(filesystem: Any, url: str, path: str, options: ReadOptions) -> tuple[list[RemoteFile], str]:
    """Return the files of a data set, and which of them is given to the layouts ("" for the folder)."""
    name = file_name(url)
    if name.lower().endswith(archive.SUFFIXES):
        return [fetching.from_info(filesystem.info(path), path, name)], name
    if manifest.suffix_of(name) in manifest.SUFFIXES:
        return _table(filesystem, url, path, name, options), name
    files = _below(filesystem, path)
    if not files:
        filesystem.ls(path)  # raises where nothing answers; `find` leaves that out
        raise DatasetError(
            f"{urls.shown(url)} is no archive or table, and no files are listed below it.",
            hint="Give a folder, a ZIP or TAR, or a CSV, TSV, JSONL or Parquet table.",
        )
    return files, ""


def _table(filesystem: Any, url: str, path: str, name: str, options: ReadOptions) -> list[RemoteFile]:
    """Return a table and the files that it names, relative to its folder or to the URL that --root states."""
    info = fetching.from_info(filesystem.info(path), path, name)
    if info.bytes > MAX_TABLE_BYTES:
        raise DatasetError(f"{urls.shown(url)}: a table of {info.bytes / 1e6:.0f} MB is too large to be fetched.")
    with tempfile.TemporaryDirectory(prefix="tl-advise-table-") as temporary:
        file = Path(temporary) / name
        file.write_bytes(filesystem.cat_file(path))
        content = manifest.table(file)
        if content.root is not None:  # images inside of the table
            return [info]
        chosen = rows.chosen_columns(content, options, urls.shown(url))
    cells = [row[chosen.path].strip() for _, row in content.rows if len(row) > chosen.path]
    base = path.rpartition("/")[0]
    relatives = sorted({archive.safe_name(cell, urls.shown(url)) for cell in cells if cell} - {name})
    # In an address `#`, `?` and `%` have a meaning, which they have not in the name of a file.
    pairs = ((f"{base}/{quote(relative) if '://' in base else relative}", relative) for relative in relatives)
    return [info, *fetching.described(filesystem, pairs)]


def _below(filesystem: Any, path: str) -> list[RemoteFile]:
    """Return all files below a folder, hidden ones left out."""
    root = path.rstrip("/")
    listed = filesystem.find(root, detail=True)
    files = [(full, _relative(full, root)) for full in sorted(listed)]
    visible = [pair for pair in files if pair[1] and not any(names.is_hidden(p) for p in pair[1].split("/"))]
    if all(listed[full].get("size") is not None for full, _ in visible):
        return [fetching.from_info(listed[full], full, relative) for full, relative in visible]
    return fetching.described(filesystem, visible)


def _relative(full: str, root: str) -> str:
    relative = full.removeprefix(root).lstrip("/")
    return unquote(relative) if "://" in full else relative


def _images(filesystem: Any, url: str, path: str) -> list[RemoteFile]:
    if "*" in path:
        base = path.partition("*")[0].rpartition("/")[0]  # files of several folders may have one name
        return _only_images(fetching.described(filesystem, ((p, _relative(p, base)) for p in filesystem.glob(path))))
    if names.suffix_of(file_name(url)) in IMAGE_SUFFIXES or (filesystem.isfile(path) and not filesystem.isdir(path)):
        return [fetching.from_info(filesystem.info(path), path, file_name(url) or "image")]
    return _only_images(_below(filesystem, path))


def _only_images(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    return [file for file in files if names.suffix_of(file.relative) in IMAGE_SUFFIXES]


def _address(url: str, file: RemoteFile) -> str:
    """Return the URL of a file for messages and tables."""
    scheme = url.partition("://")[0]
    return urls.shown(file.path if "://" in file.path else f"{scheme}://{file.path.lstrip('/')}")


def file_name(url: str) -> str:
    """Return the last part of a URL's path, without its query."""
    return unquote(posixpath.basename(urlsplit(urls.restored(url)).path.rstrip("/")))
