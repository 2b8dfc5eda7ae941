"""Fetching: what is fetched is whole, bounded, fetched once, and used offline."""

from __future__ import annotations

import errno
import os
import tarfile
from pathlib import Path

import pytest
from photographs import folder
from served_folders import Server, same, upload

from advisor.data import dataset
from advisor.data.archives import unpacking
from advisor.data.remote import fetching, urls
from advisor.errors import DatasetError, InputError


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


def test_a_name_that_leads_outside_is_refused(tmp_path: Path, bucket: str) -> None:
    """No file is written outside of the cache, whatever a table or a store calls it."""
    import fsspec

    fsspec.filesystem("memory").pipe_file(f"{bucket.removeprefix('memory:/')}/t.csv", b"path,label\n../../x.jpg,a\n")
    with pytest.raises(DatasetError, match="outside"):
        dataset.read(f"{bucket}/t.csv")


def test_the_least_recently_used_copies_make_room(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies together stay within a bound; the one that was used last stays."""
    monkeypatch.setattr(unpacking, "KEPT_BYTES", 1)
    for name in ("first", "second"):
        folder(tmp_path / name, {"cat": 3, "dog": 3}, start=40 * (name == "second"))
        upload(tmp_path / name, f"{bucket}/{name}")
        dataset.read(f"{bucket}/{name}")
    copies = list((Path(os.environ["TL_ADVISE_CACHE"]) / "remote").glob(f"*/{unpacking.MARK}"))
    assert len(copies) == 1


def test_a_store_that_fails_is_not_a_full_disk(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection and missing rights are tried again, and named as what they are: numbers of a disk's errors too."""
    import fsspec

    folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    upload(tmp_path / "photos", f"{bucket}/photos")
    store = type(fsspec.filesystem("memory"))
    real, failures = store.open, [PermissionError(errno.EACCES, "Access Denied"), OSError(errno.ECONNRESET, "reset")]

    def failing(self: object, path: str, *arguments: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return real(self, path, *arguments, **options)

    monkeypatch.setattr(store, "open", failing)
    same(f"{bucket}/photos", tmp_path / "photos")
    upload(tmp_path / "photos", f"{bucket}/others")
    failures += [PermissionError(errno.EACCES, "Access Denied") for _ in range(9 * fetching.ATTEMPTS)]
    with pytest.raises(DatasetError, match=r"others cannot be read \(PermissionError: .*Access Denied"):
        dataset.read(f"{bucket}/others")


def test_what_differs_in_the_query_alone_is_not_the_same_data(
    tmp_path: Path, served: tuple[Path, str, type[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two addresses of one script, without versions and with files of one size, are two data sets."""
    root, address, _ = served
    for name, start in (("first", 0), ("second", 40)):
        folder(tmp_path / name, {"cat": 2, "dog": 2}, start=start)
        with tarfile.open(root / f"{name}.tar", "w") as archive:
            archive.add(tmp_path / name, arcname="photos")
    sizes = [(root / f"{name}.tar").stat().st_size for name in ("first", "second")]
    assert sizes[0] == sizes[1]
    translate = Server.translate_path
    monkeypatch.setattr(Server, "translate_path", lambda self, path: translate(self, f"/{path.partition('?')[2]}.tar"))
    for name in ("first", "second"):
        same(f"{address}/get.tar?{name}", tmp_path / name)


def test_a_damaged_note_of_a_copy_is_no_copy(bucket: str) -> None:
    """What the cache remembers of a URL may be anything; only a note that names a whole copy counts."""
    fetching.remember(f"{bucket}/photos", Path("x"), "")
    cache = Path(os.environ["TL_ADVISE_CACHE"]) / "remote"
    cache.mkdir(parents=True, exist_ok=True)
    fetching.remember(f"{bucket}/photos", Path("x"), "")
    (note,) = cache.glob("*.json")
    for text in ("[]", "null", "{", '{"folder": 1}'):
        note.write_text(text)
        assert fetching.remembered(f"{bucket}/photos") is None
