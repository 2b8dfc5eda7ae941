"""A hub of models on the loopback, as far as huggingface-hub asks for it: repositories, files, errors, broken transfers.

Commands find it by HF_ENDPOINT (see `Hub.use`). It also serves as a proxy towards any other host name.
"""

from __future__ import annotations

import hashlib
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

HUB_CLOCK = "huggingface_hub.utils._http.time"  # of its retries alone
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by "OWNER/MODEL/FILE". `gated` repositories are refused; `stop_after` breaks the next transfer after so many
    bytes. `asked` collects method, path and Range.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    commit: str = COMMIT
    stop_after: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def use(self, patch: pytest.MonkeyPatch, home: Path) -> None:
        """Let this process and those that it starts use this hub, with caches of their own and no pause before a retry."""
        retry_at_once(patch)
        for name in (
            "HF_TOKEN",
            "HF_HUB_OFFLINE",
            "HF_HUB_CACHE",
            "TORCH_HOME",
            "NO_PROXY",
            "http_proxy",
            "HTTP_PROXY",
        ):
            patch.delenv(name, raising=False)
        folders = {"HF_HOME": home / "hf", "TL_ADVISE_CACHE": home / "cache", "XDG_CACHE_HOME": home / "xdg"}
        settings = {"HF_ENDPOINT": self.url, "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
        for name, value in {**folders, **settings}.items():
            patch.setenv(name, str(value))


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """Serve an empty hub on a free port of the loopback."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = urlsplit(self.path).path.strip("/")
            hub.asked.append((self.command, path, self.headers.get("Range", "")))
            repository, _, rest = path.partition("/resolve/")
            content = hub.files.get(f"{repository}/{rest.partition('/')[2]}")
            if repository in hub.gated:
                self._refuse(403, "GatedRepo", "Access to this model is restricted")
            elif not any(name.startswith(f"{repository}/") for name in hub.files):
                self._refuse(401, "RepoNotFound", "Repository not found")
            elif content is None:
                self._refuse(404, "EntryNotFound", "Entry not found")
            else:
                self._send(content, body)

        def _refuse(self, status: int, code: str, message: str) -> None:
            self.send_response(status)
            for name, value in (("X-Error-Code", code), ("X-Error-Message", message), ("Content-Length", "0")):
                self.send_header(name, value)
            self.end_headers()

        def _send(self, content: bytes, body: bool) -> None:
            begin = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
            start = int(begin) if begin and body else 0
            part = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", hub.commit)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if not body:
                return
            stop, hub.stop_after = hub.stop_after, 0
            self.wfile.write(part[:stop] if stop else part)
            self.close_connection = bool(stop)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def retry_at_once(patch: pytest.MonkeyPatch) -> None:
    """Let huggingface-hub retry without the pauses (1, 2, 4, 8, 8 s) that it makes between tries."""
    patch.setattr(HUB_CLOCK, types.SimpleNamespace(sleep=lambda seconds: None))
