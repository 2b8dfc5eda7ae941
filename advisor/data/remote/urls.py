"""What is a URL, how it is shown, and the file system behind it.

In: text that a user gave as a path. Out: an open fsspec file system, or an error with the command that installs what is
missing. Nothing is imported for a plain path. Does NOT cover: fetching (`remote.fetching`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from advisor.errors import DatasetError, InputError, one_line
from advisor.safe_text import printable

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?!/)")  # pathlib turns "s3://bucket" into "s3:/bucket"
_FILE = re.compile(r"(?:file|local):/+", re.IGNORECASE)
_DATABASE = "--storage"  # the option whose value is the URL of a database
_IN_TEXT = re.compile(r"""([A-Za-z][\w+.-]*://)(?:[^\s/@'"]*@)?([^\s?#'"]*)[^\s'"]*""")
_CONNECT_S, _READ_S = 30.0, 120.0
NO_DATA = "Name a folder with one folder per class, or a CSV file."


def is_url(path: str | PathLike[str]) -> bool:
    """Return True for a URL of another machine or store; `file://` is a path."""
    text = os.fspath(path)
    return _URL.match(text) is not None and _FILE.match(text) is None


def restored(path: str | PathLike[str]) -> str:
    """Return a URL with the two slashes that `pathlib` takes for one."""
    return _URL.sub(lambda match: f"{match[1].lower()}://", os.fspath(path), count=1)


def plain_path(path: str | PathLike[str]) -> str:
    """Return a path as it is, and that of a `file://` URL without its scheme."""
    text = os.fspath(path)
    match = _FILE.match(text)
    return text if match is None else "/" + unquote(text[match.end() :])


def shown(url: str | PathLike[str]) -> str:
    """Return a URL for messages: without user, password and query, which may hold a key."""
    parts = urlsplit(restored(url))
    return printable(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))


def public(path: str | PathLike[str]) -> str:
    """Return a path as a file may state it that people share: a URL without what may be a key."""
    return shown(path) if is_url(path) else os.fspath(path)


def without_keys(text: str) -> str:
    """Return a text of another program without user, password and query of the URLs in it, however they are encoded."""
    return _IN_TEXT.sub(r"\1\2", text)


def public_path(path: str | PathLike[str]) -> Path:
    """Return what a run directory may be named after and compared with: the path, or a URL without what may be a key."""
    return Path(public(path) if is_url(path) else plain_path(path))


def public_words(words: Sequence[str]) -> list[str]:
    """Return the words of a command, and values within them (`--option=URL`), without what may be a key.

    The address of a database stays whole: user and options belong to it, and none with a password is accepted there.
    """
    shown_words: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        is_database = _DATABASE in (option, before)
        shown_words.append(word if is_database else f"{option}{equals}{public(value)}")
    return shown_words


def check_exists(path: str | PathLike[str]) -> None:
    """Raise InputError where a path names nothing; a URL is checked when it is fetched."""
    if not is_url(path) and not Path(plain_path(path)).exists():
        raise InputError(f"{os.fspath(path)}: no such folder or file.", hint=NO_DATA)


ANCESTORS = 3  # of a run directory, in which a relative data path is looked for: `runs/NAME/run1` and `NAME` are usual


def near_run(data: str | PathLike[str], run_dir: Path) -> list[Path]:
    """List where the data of a run may be: as stated; a relative path also beside the run directory, and above it."""
    bases = [Path(), run_dir.resolve(), *list(run_dir.resolve().parents)[:ANCESTORS]]
    return [Path(data)] if os.path.isabs(data) else [base / data for base in bases]


def found_again(data: str, run_dir: Path) -> str:
    """Return a run's data path as it leads to them from here, or as stated where it leads nowhere; URLs stay."""
    existing = [path for path in near_run(plain_path(data), run_dir) if os.path.exists(path)]
    return data if is_url(data) or not existing or os.path.exists(plain_path(data)) else os.fspath(existing[0])


def open_store(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL and the path in it. Raises InputError where its package is missing."""
    protocol = restored(url).partition("://")[0]
    try:
        import fsspec

        filesystem = fsspec.filesystem(protocol, **_options(protocol))
        return filesystem, filesystem._strip_protocol(restored(url))
    except ImportError as error:
        raise InputError(
            f"{shown(url)}: the package that reads {protocol}:// is not installed ({one_line(error)}).",
            hint="Run `pip install 'tl-advise[remote]'`.",
        ) from error
    except ValueError as error:
        raise InputError(
            f"{shown(url)}: {protocol}:// is not supported ({one_line(error)}).",
            hint="Use s3://, gs:// or https://, or download the data first.",
        ) from error
    except Exception as error:
        raise unreadable(url, error) from error


def _options(protocol: str) -> dict[str, Any]:
    """Return options of a file system: over HTTP no limit for a whole file, but one for silence."""
    if protocol not in ("http", "https"):
        return {}
    import aiohttp

    return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)}}


def unreadable(url: str, error: BaseException) -> DatasetError:
    """Return the error of a URL that cannot be read."""
    if isinstance(error, DatasetError):
        return error
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{shown(url)}: nothing is there.", hint="Check the URL.")
    reason = without_keys(f"{type(error).__name__}: {one_line(error)}".replace(restored(url), shown(url)))
    return DatasetError(
        f"{shown(url)} cannot be read ({reason}).", hint="Check the URL, the network and the access rights."
    )
