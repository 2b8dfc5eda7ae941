"""JSON that was damaged: an error that readers expect, whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.records import Settings
from advisor.runtime import json_records
from advisor.runtime.run_dir import RunDir

DEEP = "[" * 100_000


@pytest.mark.parametrize("text", ["", "{", "nan", "9" * 5000, DEEP, '{"a":' * 100_000], ids=lambda text: text[:6])
def test_whatever_is_wrong_is_a_value_error(text: str) -> None:
    """Brackets in brackets too, for which Python's reader raises RecursionError."""
    with pytest.raises(ValueError, match=r"."):
        json_records.plain(text)


def test_files_of_a_run_that_are_nested_without_end_are_damaged(tmp_path: Path) -> None:
    """A record is named as one that cannot be read; a line of the log is left out, as half of one is."""
    (tmp_path / "trials").mkdir()
    (tmp_path / "run.json").write_text(DEEP)
    with pytest.raises(InputError, match=r"run.json: cannot be read \(nested too deeply\)"):
        RunDir(tmp_path).read("run.json", Settings)
    (tmp_path / "log.jsonl").write_text(f'{DEEP}\n{{"at_s": 1{"0" * 400}}}\n{{"at_s": 7.0}}\n')
    assert RunDir(tmp_path).used_s() == 7.0
