"""Rules of listing finished runs: equal data are marked, and only the same test images are compared in pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import results

from advisor import cli
from advisor.errors import InputError
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.workflows.finished import finished_runs

LABELS = np.array([0, 1] * 50)


def write_run(folder: Path, right: int, names: str = "image") -> Path:
    """Write what a finished run leaves: result, split list, and test logits of which `right` are right."""
    (folder / "trials").mkdir(parents=True)
    write_atomically(folder / "result.json", to_json(results.final()))
    lines = [f"{names}{i}.jpg,c{label},test,,{names}{i}" for i, label in enumerate(LABELS)]
    (folder / "splits.csv").write_text("\n".join(["path,label,split,group,sha256", *lines]), encoding="utf-8")
    decided = np.where(np.arange(len(LABELS)) < right, LABELS, 1 - LABELS)
    logits = np.eye(2)[decided][None]
    np.savez(folder / "trials" / "test.npz", logits=logits, labels=LABELS, groups=np.arange(len(LABELS)))
    return folder


def test_runs_are_found_and_equal_data_marked(tmp_path: Path) -> None:
    """A folder of runs counts as its runs; two with one fingerprint share a letter."""
    write_run(tmp_path / "a", 90)
    write_run(tmp_path / "b", 80)
    runs = finished_runs.find([tmp_path])
    assert [run.name for run in runs] == ["a", "b"]
    assert [one.same_data for one in finished_runs.summarise(runs)] == ["A", "A"]
    with pytest.raises(InputError, match="no finished run"):
        finished_runs.find([tmp_path / "nowhere"])


def test_a_damaged_result_hides_no_other_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a note; where nothing else is there, it is the error."""
    write_run(tmp_path / "a", 90)
    damaged = write_run(tmp_path / "b", 80) / "result.json"
    damaged.write_text('{"schema": 1', encoding="utf-8")
    assert cli.run(["runs", str(tmp_path), "--json"]) == 0
    shown = capsys.readouterr()
    assert [row["run"] for row in json.loads(shown.out)["runs"]] == [str(tmp_path / "a")]
    assert shown.err.startswith(f"note: {damaged}: cannot be read")
    assert cli.run(["runs", str(tmp_path / "b")]) == 2


def test_a_difference_is_paired_on_the_same_images(tmp_path: Path) -> None:
    """Ten images more of a hundred, all of them nested: the interval lies above 0; other images are not compared."""
    first, second = write_run(tmp_path / "a", 90), write_run(tmp_path / "b", 80)
    compared = finished_runs.difference(first, second)
    assert compared is not None
    assert compared.difference == pytest.approx(0.10)
    assert compared.ci95[0] > 0
    assert compared.p < 0.05
    assert finished_runs.difference(first, write_run(tmp_path / "c", 80, names="other")) is None
