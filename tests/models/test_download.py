"""Files come over HTTP whole or not at all, and a broken transfer goes on where it stopped."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ranges import serving

from advisor.errors import TransferError
from advisor.models import download

CONTENT = bytes(range(256)) * 4000  # about 1 MB: several chunks


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback is reached directly."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_file_arrives_whole_with_progress(tmp_path: Path) -> None:
    """Bytes are those of the server, and progress rises to the stated length."""
    seen: list[tuple[int, int]] = []
    with serving(CONTENT) as server:
        assert download.transfer(server.url, tmp_path / "p", progress=lambda *now: seen.append(now)) is False
    assert (tmp_path / "p").read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_transfer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What arrived is kept, and only the rest is asked for."""
    with serving(CONTENT) as server:
        server.stop_after = 300_001
        with pytest.raises(TransferError, match="connection broke"):
            download.transfer(server.url, tmp_path / "p")
        received = (tmp_path / "p").stat().st_size
        assert 0 < received <= 300_001
        assert download.transfer(server.url, tmp_path / "p") is True
        assert server.asked == ["", f"bytes={received}-"]
    assert (tmp_path / "p").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    """A server that ignores Range answers with the whole file, which replaces the part."""
    (tmp_path / "p").write_bytes(b"half")
    with serving(CONTENT) as server:
        server.ranges = False
        assert download.transfer(server.url, tmp_path / "p") is False
    assert (tmp_path / "p").read_bytes() == CONTENT


def test_a_part_that_is_complete_needs_nothing_more(tmp_path: Path) -> None:
    """The server's "range not satisfiable" means that nothing is left; the checksum will tell."""
    (tmp_path / "p").write_bytes(CONTENT)
    with serving(CONTENT) as server:
        assert download.transfer(server.url, tmp_path / "p") is True
    assert (tmp_path / "p").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusal_is_told_by_its_number(tmp_path: Path, status: int) -> None:
    """An HTTP error leaves no file."""
    with serving(CONTENT) as server:
        server.status = status
        with pytest.raises(TransferError, match=f"answered {status}"):
            download.transfer(server.url, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_dead_address_is_told(tmp_path: Path) -> None:
    """Nobody listens, or the address is none: a reason, no traceback."""
    with serving(CONTENT) as server:
        url = server.url
    with pytest.raises(TransferError, match="refused"):
        download.transfer(url, tmp_path / "p")
    for url in ("nonsense", "file:///etc/passwd", "http://", "http://[::bad"):
        with pytest.raises(TransferError):
            download.transfer(url, tmp_path / "p")


def test_a_folder_that_cannot_be_written_is_the_disks_fault(tmp_path: Path) -> None:
    """Faults of the disk stay OSErrors, so that the caller can tell them from the network's."""
    with serving(CONTENT) as server, pytest.raises(OSError, match="No such file"):
        download.transfer(server.url, tmp_path / "absent" / "p")


def test_the_network_check_asks_a_host_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that answers is reachable; a second question does not knock again, whatever became of it."""
    download.network_reachable.cache_clear()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert download.network_reachable(1.0, url)
    listener.close()
    assert download.network_reachable(1.0, url)
    download.network_reachable.cache_clear()
    assert not download.network_reachable(1.0, url)
    assert not download.network_reachable(1.0, "nonsense")


def test_the_network_check_asks_the_proxy_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy the host itself cannot be reached, and need not be."""
    download.network_reachable.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert download.network_reachable(1.0, "http://weights.invalid")
