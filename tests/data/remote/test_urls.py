"""URLs: which are read, what is said of those that are not, and no keys in what is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from photographs import folder

from advisor.cli import run as run_command
from advisor.data import dataset
from advisor.data.remote import urls
from advisor.errors import InputError


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("memory://nothing/here", "nothing is there"),
        ("memory://nothing/here.zip", "nothing is there"),
        ("http://127.0.0.1:9/photos.zip", "127.0.0.1:9/photos.zip"),
        ("http://127.0.0.1:9/photos", "cannot be read (ClientConnectorError"),
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


def test_plain_paths_import_nothing(tmp_path: Path) -> None:
    """Reading a folder loads neither fsspec nor aiohttp."""
    folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    code = (
        "import sys; from advisor.cli import run; run(['inspect', sys.argv[1]]);"
        "print([m for m in ('fsspec', 'aiohttp', 's3fs') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "photos"], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[]")
