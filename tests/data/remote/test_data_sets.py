"""Data sets by URL equal the folders that they were made from, are fetched once, and fail in one line."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import tarfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from photographs import folder

from advisor.cli import run as run_command
from advisor.data import dataset
from advisor.data.archives import unpacking
from advisor.data.remote import data_sets, fetching, urls
from advisor.errors import DatasetError, InputError
from advisor.records import Dataset
from advisor.records.data import ReadOptions

PLAIN = ReadOptions()


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


def test_a_folder_in_a_store_reads_as_the_folder(tmp_path: Path, bucket: str) -> None:
    """Class folders and splits in an object store give the fingerprint of the local folder."""
    for number, split in enumerate(("train", "test")):
        folder(tmp_path / "photos" / split, {"cat": 3, "dog": 3}, start=20 * number)
    upload(tmp_path / "photos", f"{bucket}/photos")
    same(f"{bucket}/photos", tmp_path / "photos")
    assert contents(dataset.read(Path(f"{bucket}/photos"))) == contents(dataset.read(f"{bucket}/photos"))


def test_a_table_in_a_store_brings_its_images(tmp_path: Path, bucket: str) -> None:
    """The images that a table names are fetched with it; rows whose file is missing are reported as for a local table."""
    folder(tmp_path / "data" / "img", {"cat": 3, "dog": 3})
    files = sorted((tmp_path / "data" / "img").rglob("*.jpg"))
    lines = [f"{f.relative_to(tmp_path / 'data').as_posix()},{f.parent.name}" for f in files]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(["path,label", *lines, "img/gone.jpg,cat", ""]))
    (tmp_path / "data" / "not needed.bin").write_bytes(b"0" * 1000)
    upload(tmp_path / "data", f"{bucket}/data")
    data = same(f"{bucket}/data/labels.csv", tmp_path / "data" / "labels.csv")
    assert [u.path for u in data.unreadable] == ["img/gone.jpg"]
    assert not (Path(data.root) / "not needed.bin").exists()


def test_an_archive_over_http_is_fetched_once(tmp_path: Path, served: tuple[Path, str, type[Server]]) -> None:
    """A second reading asks the server only whether the file has changed; a changed file is fetched again."""
    root, address, server = served
    folder(tmp_path / "photos", {"cat": 4, "dog": 4})
    with tarfile.open(root / "photos.tar", "w") as archive:
        archive.add(tmp_path / "photos", arcname="photos")
    same(f"{address}/photos.tar", tmp_path / "photos")
    gets = len(server.requested)
    assert gets
    same(f"{address}/photos.tar", tmp_path / "photos")
    assert len(server.requested) == gets
    folder(tmp_path / "photos", {"cow": 4}, start=50)
    with tarfile.open(root / "photos.tar", "w") as archive:
        archive.add(tmp_path / "photos", arcname="photos")
    assert dataset.read(f"{address}/photos.tar").classes == ("cat", "cow", "dog")


def test_a_folder_over_http_is_found_by_its_index(tmp_path: Path, served: tuple[Path, str, type[Server]]) -> None:
    """A web server that lists folders serves a data set, names with spaces included."""
    root, address, _ = served
    folder(root / "photos", {"a cat": 3, "dog": 3})
    same(f"{address}/photos/", root / "photos")


def test_a_cut_connection_is_continued(
    tmp_path: Path, served: tuple[Path, str, type[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transfer that is cut goes on where it ended, and the file is whole."""
    root, address, server = served
    (root / "big.bin").write_bytes(os.urandom(3_000_000))
    server.cut_at = 1_000_000
    filesystem, path = urls.open_store(f"{address}/big.bin")
    files = [fetching.from_info(filesystem.info(path), path, "big.bin")]
    copy = fetching.fetch(filesystem, f"{address}/big.bin", files)
    assert (copy / "big.bin").read_bytes() == (root / "big.bin").read_bytes()


def test_an_interrupted_fetch_keeps_what_it_has(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched before an interruption is not fetched again, and no half folder is ever used."""
    import fsspec

    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    upload(tmp_path / "photos", f"{bucket}/photos")
    store = type(fsspec.filesystem("memory"))
    real = store.open
    opened: list[str] = []

    def failing(self: object, path: str, *arguments: object, **options: object) -> object:
        opened.append(path)
        if len(opened) == 4:
            raise KeyboardInterrupt
        return real(self, path, *arguments, **options)

    monkeypatch.setattr(store, "open", failing)
    monkeypatch.setattr(fetching, "CONNECTIONS", 1)
    with pytest.raises(KeyboardInterrupt):
        dataset.read(f"{bucket}/photos")
    monkeypatch.setattr(store, "open", real)
    assert fetching.remembered(f"{bucket}/photos") is None
    seen: list[str] = []
    monkeypatch.setattr(store, "open", lambda self, path, *a, **k: (seen.append(path), real(self, path, *a, **k))[1])
    same(f"{bucket}/photos", tmp_path / "photos")
    assert not set(seen) & set(opened[:3])


def test_the_size_is_stated_before(tmp_path: Path, bucket: str) -> None:
    """How many files and bytes will be fetched is said first, once."""
    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    upload(tmp_path / "photos", f"{bucket}/photos")
    notes: list[str] = []
    dataset.read(f"{bucket}/photos", note=notes.append)
    dataset.read(f"{bucket}/photos", note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("fetching 6 files (0.")


@pytest.mark.parametrize(("name", "limit"), [("MAX_FILES", 3), ("MAX_BYTES", 2000)])
def test_bounds_are_checked_before_anything_is_fetched(
    name: str, limit: int, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More files or bytes than allowed are refused in one line, and nothing is written."""
    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    upload(tmp_path / "photos", f"{bucket}/photos")
    monkeypatch.setattr(fetching, name, limit)
    with pytest.raises(DatasetError, match="more than"):
        dataset.read(f"{bucket}/photos")


def test_offline_uses_the_copy(tmp_path: Path, served: tuple[Path, str, type[Server]]) -> None:
    """Without the internet the copy is used; one that was never fetched is refused with what to do."""
    root, address, server = served
    folder(root / "photos", {"cat": 3, "dog": 3})
    with pytest.raises(InputError, match="without --offline"):
        dataset.read(f"{address}/photos/", offline=True)
    first = dataset.read(f"{address}/photos/")
    before = len(server.requested)
    assert dataset.read(f"{address}/photos/", offline=True) == first
    assert len(server.requested) == before


def test_a_server_that_is_gone_costs_a_note(tmp_path: Path, bucket: str) -> None:
    """Where the store no longer answers, the copy is used and a note says so."""
    import fsspec

    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    upload(tmp_path / "photos", f"{bucket}/photos")
    first = dataset.read(f"{bucket}/photos")
    fsspec.filesystem("memory").rm(f"{bucket.removeprefix('memory:/')}/photos", recursive=True)
    notes: list[str] = []
    assert dataset.read(f"{bucket}/photos", note=notes.append) == first
    assert "fetched before is used" in notes[0]


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("memory://nothing/here", "no files are listed below it"),
        ("memory://nothing/here.zip", "nothing is there"),
        ("http://127.0.0.1:9/photos.zip", "127.0.0.1:9/photos.zip"),
        ("gopher://host/photos", "gopher:// is not supported"),
    ],
)
def test_what_cannot_be_read_is_one_line(url: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong URL is a fault of the call: exit code 2 and one line."""
    pytest.importorskip("aiohttp")
    assert run_command(["inspect", url]) == 2
    error = capsys.readouterr().err
    assert part in error
    assert len(error.strip().splitlines()) == 1


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of a store, one line says how to install it."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"pip install 'tl-advise\[remote\]'"):
        dataset.read("s3://bucket/photos")


def test_keys_in_a_url_are_not_shown() -> None:
    """User, password and query stay out of messages and of files that people share."""
    url = "https://me:secret@host.example/data/photos.zip?X-Signature=secret"
    assert urls.public(url) == "https://host.example/data/photos.zip"
    assert urls.public("/home/me/a?b") == "/home/me/a?b"
    assert "secret" not in str(urls.unreadable(url, RuntimeError(f"cannot open {url}")))


def test_a_file_url_is_its_path(tmp_path: Path) -> None:
    """`file://` is read where it is, without a copy."""
    folder(tmp_path / "my photos", {"cat": 3, "dog": 3})
    data = dataset.read(f"file://{str(tmp_path).replace(' ', '%20')}/my%20photos")
    assert data.root == str(tmp_path / "my photos")
    assert not (Path(os.environ["TL_ADVISE_CACHE"]) / "remote").exists()


def test_a_name_that_leads_outside_is_refused(tmp_path: Path, bucket: str) -> None:
    """No file is written outside of the cache, whatever a table or a store calls it."""
    import fsspec

    fsspec.filesystem("memory").pipe_file(f"{bucket.removeprefix('memory:/')}/t.csv", b"path,label\n../../x.jpg,a\n")
    with pytest.raises(DatasetError, match="outside"):
        dataset.read(f"{bucket}/t.csv")


def test_images_are_found_by_name_folder_and_pattern(tmp_path: Path, bucket: str) -> None:
    """`predict` classifies one image, those below a folder, and those that match a pattern."""
    folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    upload(tmp_path / "photos", f"{bucket}/photos")
    everything = data_sets.images(f"{bucket}/photos")
    assert len(everything) == 4
    one = everything[0][0]
    assert [url for url, _ in data_sets.images(one)] == [one]
    assert data_sets.images(one)[0][1].read_bytes() == everything[0][1].read_bytes()
    assert len(data_sets.images(f"{bucket}/photos/cat/*.jpg")) == 2


def test_plain_paths_import_nothing(tmp_path: Path) -> None:
    """Reading a folder loads neither fsspec nor aiohttp."""
    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    code = (
        "import sys; from advisor.cli import run; run(['inspect', sys.argv[1]]);"
        "print([m for m in ('fsspec', 'aiohttp', 's3fs') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "photos"], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[]")


def test_the_least_recently_used_copies_make_room(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies together stay within a bound; the one that was used last stays."""
    monkeypatch.setattr(unpacking, "KEPT_BYTES", 1)
    for name in ("first", "second"):
        folder(tmp_path / name, {"cat": 3, "dog": 3}, start=40 * (name == "second"))
        upload(tmp_path / name, f"{bucket}/{name}")
        dataset.read(f"{bucket}/{name}")
    copies = list((Path(os.environ["TL_ADVISE_CACHE"]) / "remote").glob(f"*/{unpacking.MARK}"))
    assert len(copies) == 1
