"""`tl-advise doctor` through the command line's own door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor import cli


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without any cached weights, except for one file of the right name."""
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"?")


def test_findings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding has its check, state, what was found, and advice."""
    assert cli.run(["doctor", "--offline", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert all(set(f) == {"check", "state", "found", "advice"} for f in findings)
    assert {"torch", "devices", "threads", "precision", "plugins", "weights", "cache", "disk"} <= {
        f["check"] for f in findings
    }


def test_advice_stands_under_its_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning is followed by what to do about it; warnings alone are exit code 0."""
    assert cli.run(["doctor", "--offline"]) == 0
    lines = capsys.readouterr().out.splitlines()
    warning = next(i for i, line in enumerate(lines) if line.startswith("warning") and " weights " in line)
    assert any("tl-advise weights fetch squeezenet1_1 --again" in line for line in lines[warning : warning + 4])


def test_a_problem_is_exit_code_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the main job could not work, the exit code says so and the line names the check."""
    monkeypatch.setenv("TL_ADVISE_PLUGINS", "torchvision")
    assert cli.run(["doctor", "--offline"]) == 3
    assert "plugins" in capsys.readouterr().err
