"""`tl-advise plugins` and `tl-advise plugins check` through the command line's own door."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from distributions import install

from advisor import cli


def _json(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, object]:
    code = cli.run(["plugins", *args, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_list_names_kind_package_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Every backbone and strategy is listed, by name, with where it comes from and what it is."""
    code, listed = _json(capsys)
    rows = {row["name"]: row for row in listed["plugins"]}
    assert code == 0
    assert rows["resnet50.v2"]["kind"] == "backbone"
    assert "ImageNet 80.9 %" in rows["resnet50.v2"]["what"]
    assert rows["ridge"]["kind"] == "strategy"
    assert rows["ridge"]["what"].startswith("feature extraction: ")
    assert {row["distribution"] for row in rows.values()} == {"tl-advise"}
    assert listed["broken"] == []


def test_list_is_the_groups_default(capsys: pytest.CaptureFixture[str]) -> None:
    """`plugins` and `plugins list` say the same."""
    assert cli.run(["plugins", "list"]) == 0
    long = capsys.readouterr().out
    assert cli.run(["plugins"]) == 0
    assert capsys.readouterr().out == long
    assert "mobilenet_v3_large.v2" in long


def test_show_explains_every_parameter_of_a_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    """`plugins show` prints what a strategy does, and each parameter with default, range and meaning."""
    code, shown = _json(capsys, "show", "full")
    assert (code, shown["regime"]) == (0, "full")
    assert {"name": "batch", "default": 32, "meaning": "images per step"}.items() <= shown["parameters"][1].items()
    assert cli.run(["plugins", "show", "full"]) == 0
    printed = capsys.readouterr().out
    assert all(p["name"] in printed and shown["what"] in printed for p in shown["parameters"])
    assert "1 to 4096" in printed


def test_show_states_the_facts_of_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    """A network has its input size, stages and weights; an unknown name is an error with a hint (exit code 2)."""
    assert cli.run(["plugins", "show", "mobilenet_v2"]) == 0
    assert "224 px" in capsys.readouterr().out
    assert cli.run(["plugins", "show", "mobilnet_v2"]) == 2
    assert "mobilenet_v2" in capsys.readouterr().err


def test_a_broken_plugin_is_listed_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is disabled and told, in the table, in JSON, and by check (exit code 3)."""
    install(tmp_path, "stranger", {"strange": "strange_module"}, {"strange_module": "import [nothing]"})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.run(["plugins"]) == 0
    printed = capsys.readouterr().out
    assert "disabled strange (stranger 1.0): cannot be imported: SyntaxError" in printed
    code, listed = _json(capsys)
    assert (code, [p["name"] for p in listed["broken"]]) == (0, ["strange"])
    assert cli.run(["plugins", "check", "strange"]) == 3
    assert "plugin strange (stranger 1.0) is disabled" in capsys.readouterr().err


def test_checking_a_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    """All rules hold: exit code 0, and each is named."""
    code, checks = _json(capsys, "check", "ridge")
    assert code == 0
    assert all(c["passed"] for c in checks)
    assert {c["of"] for c in checks} == {"strategies", "ridge"}


def test_checking_a_backbone_that_breaks_a_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule that does not hold is exit code 3, with one line that names it."""
    source = """
from advisor.hooks import Backbone, Preprocess, Stage, hookimpl

def build():
    from torch import nn
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())

@hookimpl
def advisor_backbones():
    return [Backbone(name="wrong", dim=5, stages=(Stage(name="all", prefixes=("0",)),),
                     preprocess=Preprocess(size=16, resize=16), build=build)]
"""
    install(tmp_path, "stranger", {"strange": "wrong_module"}, {"wrong_module": source})
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert cli.run(["plugins", "check", "wrong", "--size", "16"]) == 3
    printed = capsys.readouterr()
    assert "expected (2, 5)" in printed.out
    assert printed.err.splitlines()[-1].startswith("error: 2 of ")
    assert "wrong: gives (N, dim) in float32" in printed.err


def test_an_unknown_name_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Did you mean."""
    assert cli.run(["plugins", "check", "ridgee"]) == 2
    assert "Did you mean ridge?" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["plugins"], ["weights", "--offline"]], ids=" ".join)
def test_a_narrow_terminal_hides_no_number(command: list[str]) -> None:
    """At 80 columns long names are folded, and sizes and accuracies stay readable."""
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (50, 80))
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}
    program = [sys.executable, "-m", "advisor", *command]
    process = subprocess.Popen(program, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    text = b""
    with contextlib.suppress(OSError):  # the terminal is closed when the command ends
        while part := os.read(leader, 65536):
            text += part
    os.close(leader)
    assert process.wait() == 0
    lines = text.decode().splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if "mobilenet_v3_large.v2" in line)
    assert row.split()[1:3] == (["1280", "224"] if command == ["plugins"] else ["22.1", "MB"])
    assert "75.3 %" in row


def test_the_list_imports_no_torch() -> None:
    """Listing is instant."""
    script = """
import sys
from advisor import cli
code = cli.run(["plugins"])
sys.exit(code or ", ".join(m for m in ("torch", "numpy", "sklearn", "scipy", "PIL") if m in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["advise", "predict", "rerun", "lr-find"])
def test_only_an_installed_plugin_can_be_blocked(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name would leave out nothing: it is refused, with the names of plugins."""
    assert cli.run([command, "here", "--block", "torchvison"]) == 2
    error = capsys.readouterr().err
    assert 'no plugin named "torchvison"' in error
    assert "torchvision" in error
