"""Reserved temporary files: space is claimed first, and nothing is left behind."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.runtime import atomic_file


def test_space_is_claimed_and_the_rest_given_back(tmp_path: Path) -> None:
    """The file has its full size at once, and only what was written in the end; then the name is gone."""
    with atomic_file.opened(tmp_path / "deep" / "a", 10_000) as stream:
        assert (tmp_path / "deep" / "a").stat().st_size == 10_000
        stream.write(b"x" * 70)
        assert atomic_file.settle(stream) == 70
        assert (tmp_path / "deep" / "a").stat().st_size == 70
    assert not list((tmp_path / "deep").iterdir())


def test_a_file_that_was_renamed_stays(tmp_path: Path) -> None:
    """Renaming is how a finished file is kept."""
    with atomic_file.opened(tmp_path / "a", 10) as stream:
        stream.write(b"done")
        atomic_file.settle(stream)
        os.replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"done"


def test_a_replaced_file_may_be_read_by_whoever_may_read_a_new_one(tmp_path: Path) -> None:
    """Also where the writer makes a file of its own with fewer permissions, as safetensors does."""

    def write_privately(path: Path) -> None:
        own = path.with_suffix(".own")
        own.touch(0o600)
        os.replace(own, path)

    (tmp_path / "new").touch()
    with atomic_file.replacing(tmp_path / "a") as temporary:
        write_privately(temporary)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_a_disk_without_the_space_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """Reserving fails with the system's own error, and the name is gone."""
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom advisor.runtime import atomic_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    with atomic_file.opened(Path(sys.argv[1]), 5000):\n        print('opened')\n"
        "except OSError as error:\n    print(error.errno)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(errno.EFBIG)]
    assert not (tmp_path / "a").exists()


def test_only_old_files_that_nobody_holds_are_swept(tmp_path: Path) -> None:
    """A file held open stays however old; an abandoned one goes when it is old."""
    long_ago = time.time() - 3600
    (tmp_path / "abandoned").write_bytes(b"x")
    (tmp_path / "fresh").write_bytes(b"x")
    os.utime(tmp_path / "abandoned", (long_ago, long_ago))
    with atomic_file.opened(tmp_path / "held", 10):
        os.utime(tmp_path / "held", (long_ago, long_ago))
        atomic_file.sweep(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "held"]


def test_an_existing_name_is_never_overwritten(tmp_path: Path) -> None:
    """Two writers cannot share a temporary file."""
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(FileExistsError), atomic_file.opened(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_bytes() == b"x"


def test_json_is_utf_8_whatever_a_name_is_made_of(tmp_path: Path) -> None:
    """A byte that is not UTF-8 becomes an escape that gives the same name again; letters of all scripts stay readable."""
    names = {"caf\udce9.jpg": ["\udcff\udcfe", "\u732b", 'a"\\\n', "\U0001f41c"]}
    atomic_file.write_atomically(tmp_path / "names.json", atomic_file.to_json(names))
    text = (tmp_path / "names.json").read_bytes().decode("utf-8")
    assert json.loads(text) == names
    assert "\u732b" in text
    assert "caf\\udce9.jpg" in text
