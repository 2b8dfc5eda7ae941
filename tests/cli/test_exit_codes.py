"""Calls at fault and moments without memory, threads or names: one line, an exit code of the contract, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from photographs import folder

from advisor import cli
from advisor.cli import _failures, _predict_output, _standalone
from advisor.errors import OutputError
from advisor.runtime.run_dir import RunDir

SHORT_OF_MEMORY = """
import resource, sys
from advisor import cli
import advisor.cli.inspect, advisor.data.dataset, advisor.data.profile, advisor.cli._console
from PIL import Image
Image.init()
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(cli.run(["inspect", sys.argv[1], "--quiet", "--json"]))
"""


@pytest.mark.parametrize(
    "call", [["show", ""], ["advise", "photos", "--out", ""], ["", "photos"], ["predict", "run", ""]]
)
def test_an_empty_argument_is_refused(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that is not set never means the current folder."""
    assert cli.run(call) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "an argument is empty" in " ".join(line.split())


@pytest.mark.parametrize("command", ["advise", "predict", "serve", "evaluate", "rerun", "resume", "fewshot", "lr-find"])
def test_a_misspelt_device_is_refused_before_anything_else(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not after the seconds in which torch is imported and the images are read."""
    assert cli.run([command, "nowhere", "--device", "tpu"]) == 2
    assert capsys.readouterr().err == "error: --device tpu: expected auto, cpu or cuda[:i].\n"


@pytest.mark.parametrize(
    "call", [["predict", "nowhere", "."], ["evaluate", "nowhere", "."], ["label-next", "nowhere", "."]]
)
def test_a_run_that_is_not_there_is_said_before_torch_is_imported(call: list[str], tmp_path: Path) -> None:
    """In a process of its own, in which torch cannot be imported."""
    folder(tmp_path, {"cat": 1})
    program = "import sys\nsys.modules['torch'] = None\nfrom advisor import cli\nsys.exit(cli.run(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, *call], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere holds no model.json.")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space of a Linux process")
@pytest.mark.parametrize("free_bytes", [0, 300_000, 1_000_000, 5_000_000, 30_000_000])
def test_a_moment_without_memory_or_threads_is_one_line(tmp_path: Path, free_bytes: int) -> None:
    """Whatever fails first, a thread or an allocation: exit code 4 and the remedy, or all images read."""
    data = folder(tmp_path / "data", {"cat": 3, "dog": 3})
    call = [sys.executable, "-c", SHORT_OF_MEMORY, str(data), str(free_bytes)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode in (0, 4), done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "ulimit" in done.stderr
    if done.returncode == 0:
        assert '"unreadable": []' in done.stdout


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (SystemError("error return without exception set"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("can't allocate read lock"), True),
        (ImportError("mtrand.so: failed to map segment from shared object"), True),
        (ImportError("No module named 'torchvision'"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
    ids=repr,
)
def test_a_shortage_is_told_from_a_bug(error: Exception, short: bool) -> None:
    """In the words of the interpreter, of torch and of the loader of libraries."""
    assert _failures.is_shortage(error) is short


def test_what_fails_while_a_shortage_is_handled_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Any error may follow the first that had no memory."""
    error = KeyError("anything")
    error.__context__ = MemoryError()
    assert _failures.is_shortage(error)
    assert _failures.fail_of_shortage(error) == 4
    assert "ulimit" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["n" * 300, "missing/file.csv", "."])
def test_an_output_file_that_cannot_be_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    """A name that is too long, a folder that is missing, a folder itself."""
    with pytest.raises(OutputError, match="cannot be written"):
        _standalone.output_file(str(tmp_path / name), (), "--out")


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    """The message does not offer to resume it."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is not a folder") as caught:
        RunDir.create(tmp_path / "file", data=tmp_path / "data")
    assert "resume" not in caught.value.hint


@pytest.mark.parametrize("option", [["--seed", str(2**63)], ["--seed", "-1"], ["--threads", "1025"]])
def test_numbers_that_no_recipe_or_machine_can_hold_are_refused(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with such a seed would leave a recipe that cannot be read."""
    assert cli.run(["advise", str(tmp_path), *option]) == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("call", [["plugins"], ["cache"], ["weights", "--offline"]])
def test_a_reader_that_left_is_no_error(call: list[str]) -> None:
    """`tl-advise ... | head` ends quietly with 0, whatever prints the lines."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "advisor", *call], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_ends_too_early_is_not_taken_for_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Click makes the end of standard input and Ctrl-C of every EOFError; no command asks for input."""

    def ends(**_: object) -> None:
        raise EOFError("No data left in file")

    monkeypatch.setattr("advisor.workflows.doctor.examine", ends)
    assert cli.run(["doctor"]) == 4
    error = capsys.readouterr().err
    assert "stopped" not in error
    assert error.splitlines()[-1].startswith("error: EOFError: No data left in file. This is a bug")


def test_a_terminal_of_another_encoding_gets_escapes() -> None:
    """A dash that ISO-8859-9 lacks costs no command; what it has is written in it."""
    program = """
from advisor import cli
from advisor.cli import _console
cli.run = lambda args=None: _console.console().print("ş \u2026") or _console.say("\u00fc \u2013") or 0
cli.main()
"""
    variables = {**os.environ, "PYTHONIOENCODING": "iso-8859-9", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"\xfe \\u2026\n\xfc \\u2013\n"


def test_an_output_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """What was there before stays where a command ends early; a link stays a link, and a device is written to."""
    (tmp_path / "real.csv").write_text("before")
    (tmp_path / "link.csv").symlink_to("real.csv")
    link = tmp_path / "link.csv"

    def end_early() -> None:
        with _predict_output.destination(str(link)) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end_early()
    assert link.read_text() == "before"
    with _predict_output.destination(str(link)) as stream:
        stream.write(b"whole")
    assert (link.read_text(), link.is_symlink()) == ("whole", True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "real.csv"]
    with _predict_output.destination(os.devnull) as stream:
        stream.write(b"nothing")
    assert not Path(os.devnull).is_file()
