"""A small file server on the loopback for tests of downloads: Range requests, broken connections, wrong answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """What is served at `url`, and how it misbehaves. `asked` collects the Range headers, "" for none."""

    url: str
    content: bytes
    ranges: bool = True
    stop_after: int = 0  # break the connection after so many bytes of the body, once
    status: int = 200
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(content: bytes) -> Iterator[Served]:
    """Serve one file on a free port of the loopback."""
    state = Served(url="", content=content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.asked.append(asked)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if start >= len(state.content) and start:
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            stop, state.stop_after = state.stop_after, 0
            self.wfile.write(body[:stop] if stop else body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/file.safetensors"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
