"""Bringing one file over HTTP: resumable, with progress, and honest about what went wrong.

In: an address and the path of a part file. Out: that part file, whole. What has arrived of it is continued by the next
call (HTTP Range) where the caller can check the whole. One network check in a process's life says whether to try.
Does NOT cover: checksums, and the final name (`pretrained_weights`).
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
import urllib.error
import urllib.request
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from advisor.errors import TransferError

if TYPE_CHECKING:
    from advisor.aliases import CountProgress

_CHUNK = 1 << 18
_TIMEOUT_S = 30.0


@lru_cache(maxsize=8)
def network_reachable(timeout_s: float = 3.0, url: str = "https://download.pytorch.org") -> bool:
    """Return True if the host of `url` (or the proxy towards it) answers in time; asked once in a process's life."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not parts.hostname:
        return False
    host, port = parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)
    connected = threading.Event()

    def ask() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout_s).close()
        except OSError:
            return
        connected.set()

    # The look-up of a name cannot be given a time limit, so it happens on a thread that may be left behind.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout_s)
    return connected.is_set()


def transfer(url: str, part: Path, *, resume: bool = True, progress: CountProgress | None = None) -> bool:
    """Download `url` into `part`, continuing behind what is there if `resume`; return True if it continued.

    Raises TransferError for the network's and the server's faults (what arrived is kept), OSError for the disk's.
    """
    if not url.startswith(("http://", "https://")):
        raise TransferError("the address does not start with https://")
    done = part.stat().st_size if resume and part.exists() else 0
    headers = {"User-Agent": "tl-advise", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if done and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # nothing is left to bring: the checksum decides
        raise TransferError(f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransferError(str(getattr(error, "reason", None) or error) or type(error).__name__) from error
    with response:
        goes_on = bool(done) and response.status == HTTPStatus.PARTIAL_CONTENT
        _append(response, part, done if goes_on else 0, progress)
    return goes_on


def _append(response: Any, part: Path, start: int, progress: CountProgress | None) -> None:
    stated = response.headers.get("Content-Length")
    total = start + int(stated) if stated and stated.isdigit() else 0
    done = start
    with open(part, "ab" if start else "wb") as file:
        while chunk := _receive(response):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    if done < total:
        raise TransferError(f"the connection broke after {done} of {total} bytes")


def _receive(response: Any) -> bytes:
    try:
        return bytes(response.read(_CHUNK))
    except (OSError, http.client.HTTPException) as error:
        raise TransferError(f"the connection broke: {error}") from error
