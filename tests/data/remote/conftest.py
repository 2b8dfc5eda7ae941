"""Where remote data sets lie in tests: a small HTTP server, and a bucket of the in-memory store."""

from __future__ import annotations

import functools
import http.server
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_folders import Server


@pytest.fixture(name="served")
def _served(tmp_path: Path) -> Iterator[tuple[Path, str, type[Server]]]:
    """A folder and the address at which a small HTTP server serves it."""
    pytest.importorskip("aiohttp")
    root = tmp_path / "served"
    root.mkdir()
    handler = type("OneServer", (Server,), {"requested": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield root, f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


@pytest.fixture(name="bucket")
def _bucket() -> str:
    """A name in the in-memory store that nobody else uses."""
    return f"memory://{uuid.uuid4().hex}"
