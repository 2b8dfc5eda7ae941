"""Weights from a hub, through the command line: what arrives, and what is said where nothing does. The hub is a local one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_hub import COMMIT, Hub, serving_hub

from advisor import cli
from advisor.runtime import hub as client

pytest.importorskip("timm")
huggingface_hub = pytest.importorskip("huggingface_hub")
NAME = "timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m"
FILE = f"{NAME}/model.safetensors"
MEBIBYTES_12 = bytes(12 * 2**20)  # more than one of the pieces in which a transfer is kept


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without any repository, and empty caches."""
    with serving_hub() as served:
        served.use(monkeypatch, tmp_path)
        huggingface_hub.close_session()
        yield served
        huggingface_hub.close_session()


def fetch(capsys: pytest.CaptureFixture[str], name: str = NAME) -> tuple[int, str]:
    """Run `tl-advise weights fetch`; return its exit code and what it printed."""
    code = cli.run(["weights", "fetch", name, "--quiet"])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_a_file_arrives_with_its_revision(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """It lies in the hub's own cache, under the commit that it belongs to; a second fetch asks for nothing."""
    hub.files[FILE] = b"weights"
    code, printed = fetch(capsys)
    path = Path(printed.partition("cached, ")[2].strip())
    assert (code, path.read_bytes(), client.revision(path)) == (0, b"weights", COMMIT)
    before = len(hub.asked)
    assert fetch(capsys)[0] == 0
    assert len(hub.asked) == before


def test_an_older_file_name_is_understood(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """A repository without safetensors has its weights in pytorch_model.bin."""
    hub.files[f"{NAME}/pytorch_model.bin"] = b"weights"
    assert fetch(capsys)[1].strip().endswith("pytorch_model.bin")


def test_what_is_refused_is_explained_in_one_line(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """A deleted repository, a gated one and one without weights each say what to do; exit code 2."""
    code, deleted = fetch(capsys)
    assert "does not exist, was deleted, or is private" in deleted
    hub.gated.add(NAME)
    gated = fetch(capsys)[1]
    assert "is gated" in gated
    assert "HF_TOKEN" in gated
    hub.gated.clear()
    hub.files[f"{NAME}/README.md"] = b"nothing else"
    empty = fetch(capsys)[1]
    assert "holds no model.safetensors and no pytorch_model.bin" in empty
    for line in (deleted, gated, empty):
        assert (code, line.count("\n")) == (2, 1)
        assert "--weights NAME=FILE" in line


def test_half_a_download_is_continued(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the connection breaks, what arrived is not sent again, and nobody has to do anything."""
    hub.files[FILE] = MEBIBYTES_12
    hub.stop_after = 11 * 2**20
    code, printed = fetch(capsys)
    assert (code, printed.count("\n")) == (0, 1)
    assert hub.asked[-1] == ("GET", f"{NAME}/resolve/main/model.safetensors", f"bytes={10 * 2**20}-")


def test_no_network_costs_seconds_and_one_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hub that does not answer, and HF_HUB_OFFLINE, are told apart."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, printed = fetch(capsys)
    assert (code, printed.count("\n")) == (2, 1)
    assert "http://127.0.0.1:9 does not respond" in printed
    assert f"--weights {NAME}=FILE" in printed
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in fetch(capsys)[1]


def test_a_proxy_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A hub that only a proxy reaches is reached through it; a dead proxy is one line."""
    hub.files[FILE] = b"weights"
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", hub.url)
    assert fetch(capsys)[0] == 0
    monkeypatch.setenv("HF_ENDPOINT", "http://other.invalid")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    code, printed = fetch(capsys, "timm/vit_small_patch16_224.dino")
    assert (code, "http://other.invalid does not respond" in printed) == (2, True)
