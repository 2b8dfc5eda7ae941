"""Folders behind a URL: a small HTTP server, an in-memory store, and the comparison with the folder itself."""

from __future__ import annotations

import http.server
import os
from pathlib import Path

from advisor.data import dataset
from advisor.records import Dataset


class Server(http.server.SimpleHTTPRequestHandler):
    """Python's own file server; counts the files that it sends."""

    requested: list[str]
    cut_at = 0  # bytes after which a connection is cut, once

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """Send a file, or a range of it as object stores do."""
        self.requested.append(self.path)
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            super().do_GET()
            return
        content = Path(path).read_bytes()
        begin, status = 0, 200
        if "Range" in self.headers:
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            begin, status = int(first), 206
            content = content[begin : int(last) + 1 if last else None]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(content) - 1}/{os.path.getsize(path)}")
        self.end_headers()
        if type(self).cut_at and len(content) > type(self).cut_at:
            self.wfile.write(content[: type(self).cut_at])
            type(self).cut_at = 0
            self.close_connection = True
            return
        self.wfile.write(content)


def upload(root: Path, url: str) -> None:
    """Copy a folder into the in-memory store."""
    import fsspec

    store = fsspec.filesystem("memory")
    for file in root.rglob("*"):
        if file.is_file():
            store.pipe_file(f"{url.removeprefix('memory:/')}/{file.relative_to(root).as_posix()}", file.read_bytes())


def contents(data: Dataset) -> list[tuple[str, str, str, str]]:
    """Path, label, given split and hash of every item."""
    return sorted((i.path, data.classes[i.label], i.given, i.sha256) for i in data.items)


def same(url: str, path: Path) -> Dataset:
    """Check that a URL reads as a path does, with the same fingerprint."""
    remote, plain = dataset.read(url), dataset.read(path)
    assert contents(remote) == contents(plain)
    assert (remote.fingerprint, remote.layout, remote.classes) == (plain.fingerprint, plain.layout, plain.classes)
    return remote
