"""`tl-advise weights` and `tl-advise weights fetch` through the command line's own door."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributions import install
from ranges import serving
from safetensors.torch import save

from advisor import cli

CONTENT = save({"0.weight": torch.ones(4, 3, 3, 3)})
PLUGIN = """
from advisor.hooks import Backbone, Preprocess, Stage, Weights, hookimpl

@hookimpl
def advisor_backbones():
    weights = Weights(file="own.safetensors", url="{url}", sha256_prefix="{prefix}", bytes={bytes}, licence="MIT")
    return [Backbone(name="own", dim=4, stages=(Stage(name="all", prefixes=("0",)),), weights=weights,
                     preprocess=Preprocess(size=16, resize=16), build=lambda: None)]
"""


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache of the person who runs the tests is seen, and the loopback is reached directly."""
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A backbone `own` whose weights are served on the loopback."""
    with serving(CONTENT) as served:
        prefix = hashlib.sha256(CONTENT).hexdigest()[:8]
        source = PLUGIN.format(url=served.url, prefix=prefix, bytes=len(CONTENT))
        install(tmp_path / "site", "stranger", {"own": "own_module"}, {"own_module": source})
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        yield served
    sys.modules.pop("own_module", None)


def _rows(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, dict[str, object]]:
    assert cli.run(["weights", "--json", *args]) == 0
    return {row["backbone"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_backbone_has_a_state_and_a_way(capsys: pytest.CaptureFixture[str]) -> None:
    """Offline and with an empty cache nothing of torchvision's is to be had, and each command is named."""
    rows = _rows(capsys, "--offline")
    row = rows["resnet18"]
    assert (row["state"], row["command"]) == ("unavailable", "tl-advise weights fetch resnet18")
    assert "--offline" in str(row["reason"])
    assert row["bytes"] == pytest.approx(46_830_571, rel=1e-4)
    assert row["licence"] == "BSD-3-Clause"


def test_fetching_makes_it_cached(server, capsys: pytest.CaptureFixture[str]) -> None:
    """fetch brings the file and says where it lies; the list shows it, and its checksum holds."""
    assert cli.run(["weights", "fetch", "own"]) == 0
    assert "own: cached, " in capsys.readouterr().out
    row = _rows(capsys, "--offline", "--verify")["own"]
    assert (row["state"], row["sha256"], row["warning"]) == ("cached", hashlib.sha256(CONTENT).hexdigest(), "")
    assert Path(str(row["path"])).read_bytes() == CONTENT


def test_verify_tells_a_file_that_is_not_the_published_one(
    server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The warning names both checksums; without --verify nothing is hashed."""
    (tmp_path / "own.safetensors").write_bytes(b"other")
    args = ("--offline", "--weights-dir", str(tmp_path))
    assert _rows(capsys, *args)["own"]["warning"] == ""
    assert "not the published file" in str(_rows(capsys, "--verify", *args)["own"]["warning"])
    assert cli.run(["weights", "--verify", *args]) == 0
    assert "not the published file" in capsys.readouterr().out


def test_a_failed_fetch_is_one_line_and_exit_code_2(server, capsys: pytest.CaptureFixture[str]) -> None:
    """The address, what happened, and the exact command."""
    server.status = 404
    assert cli.run(["weights", "fetch", "own"]) == 2
    printed = capsys.readouterr().err.strip()
    assert "\n" not in printed
    assert "answered 404" in printed
    assert "`tl-advise weights fetch own`" in printed


def test_fetching_offline_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """--offline means it."""
    assert cli.run(["weights", "fetch", "resnet18", "--offline"]) == 2
    error = capsys.readouterr().err
    assert "--offline" in error
    assert "--weights-dir" not in error  # which this command does not have


def test_an_unknown_backbone_fetches_nothing(server, capsys: pytest.CaptureFixture[str]) -> None:
    """Names are checked before the first transfer."""
    assert cli.run(["weights", "fetch", "own", "resnet19"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    assert server.asked == []


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt --weights-dir is exit code 2."""
    assert cli.run(["weights", "--offline", "--weights-dir", str(tmp_path / "absent")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_the_list_imports_no_torch() -> None:
    """Listing is instant."""
    script = """
import sys
from advisor import cli
code = cli.run(["weights", "--offline"])
sys.exit(code or ", ".join(m for m in ("torch", "torchvision", "sklearn", "scipy", "PIL") if m in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
