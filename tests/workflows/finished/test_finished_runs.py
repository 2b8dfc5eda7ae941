"""Rules of listing finished runs: equal data are marked, and only the same test images are compared in pairs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import results
from rich.console import Console

from advisor import cli
from advisor.cli import runs as runs_command
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


def test_no_two_data_sets_share_a_letter(tmp_path: Path) -> None:
    """With more pairs of runs on equal data than letters, numbers tell them apart."""
    runs = []
    for number in range(30):
        final = results.final()
        data = replace(final.dataset, fingerprint=f"{number:064x}")
        for name in ("a", "b"):
            folder = tmp_path / f"{number}{name}"
            folder.mkdir()
            write_atomically(folder / "result.json", to_json(replace(final, dataset=data)))
            runs.append(folder)
    letters = [one.same_data for one in finished_runs.summarise(runs)]
    assert letters[0::2] == letters[1::2]
    assert len(set(letters)) == 30
    assert letters[50:54] == ["Z", "Z", "A2", "A2"]


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


def test_the_photos_of_two_patients_prove_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer than six groups no difference is clear, and no number is a power of ten or "nan"."""
    monkeypatch.chdir(tmp_path)
    runs = [write_run(tmp_path / name, right) for name, right in (("a", 90), ("b", 60))]
    for run in runs:
        saved = dict(np.load(run / "trials" / "test.npz"))
        np.savez(run / "trials" / "test.npz", **{**saved, "groups": np.arange(len(LABELS)) % 2})
        plain = json.loads((run / "result.json").read_text(encoding="utf-8"))
        plain["objective"] = {"name": "log_loss", "value": 0.3, "ci95": [0.0, None], "n": 1, "note": ""}
        cost = {"ms": 152.0, "mb": 9.0, "measured": False}
        plain["limits"] = {"max_ms": None, "max_mb": None, "threads": 1, "cost": cost, "models": [], "without": None}
        write_atomically(run / "result.json", json.dumps(plain))
    compared = finished_runs.difference(*runs)
    assert compared is not None
    assert (compared.difference, compared.ci95, compared.p) == (pytest.approx(0.3), (-1.0, 1.0), 1.0)
    assert cli.run(["runs", "a", "b"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "+30.0 points (95 % interval −100.0 to +100.0, p = 1): not distinguishable." in shown
    assert "~150" in shown
    assert "nan" not in shown
    assert "e+" not in shown


def test_no_column_is_lost_on_a_narrow_terminal(tmp_path: Path) -> None:
    """At 80 columns every title and every cell is still there, and whole: a run is then a list of facts."""
    write_run(tmp_path / "photos-2026-12-01-10-22-11", 90)
    output = io.StringIO()
    out = Console(file=output, width=80)
    out.print(*runs_command._tables(finished_runs.summarise(finished_runs.find([tmp_path])), out))
    assert "…" not in output.getvalue()
    letters = "".join(output.getvalue().split())  # the folder of the test may be so long that the name is folded
    assert all(word in letters for word in ("photos-2026-12-01-10-22-11", "MB", "ms"))
    assert max(map(len, output.getvalue().splitlines())) <= 80


def test_a_damaged_list_of_splits_is_named(tmp_path: Path) -> None:
    """Which images were tested cannot be said without its columns: no traceback, and no comparison of other images."""
    first, second = write_run(tmp_path / "a", 90), write_run(tmp_path / "b", 80)
    (second / "splits.csv").write_text("path,label\n0.png,a\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"b/splits\.csv: cannot be read"):
        finished_runs.difference(first, second)
