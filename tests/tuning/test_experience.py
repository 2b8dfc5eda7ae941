"""What finished runs teach a later search: their own lifts, shrunk towards the built-in table by their number."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest

from advisor.errors import InputError
from advisor.records import Candidate, Experience, FoldScore, LiftReading, Trial
from advisor.tuning import expected_loss, experience
from advisor.tuning.trials.study import Study

FULL = Candidate(backbone="net", strategy="full", parameters={}, size_px=96)
RIDGE = Candidate(backbone="net", strategy="ridge", parameters={}, size_px=96)


def ended(number: int, candidate: Candidate, log_loss: float, *, steps: int = 0) -> Trial:
    """A finished trial or probe."""
    score = FoldScore(fold=0, repeat=0, seed=0, n=100, accuracy=0.5, log_loss=log_loss)
    regime = "full" if steps else "feature_extraction"
    return Trial(number=number, candidate=candidate, regime=regime, state="complete", scores=(score,), steps=steps)


def finished(folder: Path, lift: float, *, objective: str = "log_loss", status: str = "final") -> Path:
    """Write the run of a search whose one full fine-tuning of the usual length had this log-loss beside a probe of 1."""
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"status": status, "name": folder.name}))
    (folder / "run.json").write_text(json.dumps({"objective": objective}))
    (folder / "probes.json").write_bytes(msgspec.json.encode([ended(-1, RIDGE, 1.0)]))
    study = Study(folder / "study.db", 0)
    study.finish(ended(study.begin(FULL), FULL, lift, steps=int(expected_loss.USUAL_STEPS)))
    return folder


def expected(learned: Experience, candidate: Candidate = FULL) -> float:
    """Return what is expected of a full fine-tuning beside a probe of 1."""
    steps = int(expected_loss.USUAL_STEPS)
    return expected_loss.expected(candidate, "full", steps, [ended(-1, RIDGE, 1.0)], [], experience=learned)


def test_runs_shift_the_expectation_by_their_share(tmp_path: Path) -> None:
    """With n runs, n of n + 4 parts of the way from the table's logarithm to theirs; without any, the table."""
    table = expected_loss.LIFT["full"]
    assert expected(Experience()) == pytest.approx(table)
    for count in (1, 2, 3):
        finished(tmp_path / f"run{count}", 0.4)
        learned = experience.read([str(tmp_path)])
        share = count / (count + expected_loss.TABLE_RUNS)
        assert learned.runs == count
        assert expected(learned) == pytest.approx(math.exp((1 - share) * math.log(table) + share * math.log(0.4)))


def test_another_network_or_strategy_learns_less() -> None:
    """The same strategy elsewhere counts half, another one of the regime elsewhere a quarter, another regime nothing."""
    reading = LiftReading(backbone="net", strategy="full", regime="full", lift=math.log(0.4), runs=4)
    learned = Experience(runs=4, sha256="", readings=(reading,))
    apart = math.log(0.4 / expected_loss.LIFT["full"])
    shifts = {
        ("full", "net", "full"): 4 / 8,
        ("full", "other", "full"): 2 / 6,
        ("ema", "net", "full"): 2 / 6,
        ("ema", "other", "full"): 1 / 5,
        ("partial", "net", "partial"): 0.0,
        ("logistic", "net", "feature_extraction"): 0.0,
    }
    for what, share in shifts.items():
        assert expected_loss.shift(*what, learned) == pytest.approx(share * apart)


def test_a_run_counts_once_and_only_if_it_is_finished_and_of_the_same_objective(tmp_path: Path) -> None:
    """A folder named twice, a provisional result, a damaged one and another objective add nothing; content is hashed."""
    finished(tmp_path / "deep" / "er" / "run", 0.5)
    once = experience.read([str(tmp_path)])
    finished(tmp_path / "stopped", 0.1, status="provisional")
    finished(tmp_path / "accuracy", 0.1, objective="accuracy")
    (finished(tmp_path / "damaged", 0.1) / "result.json").write_text("{")
    assert experience.read([str(tmp_path), str(tmp_path / "deep")]) == once
    finished(tmp_path / "second", 0.5)
    assert experience.read([str(tmp_path)]).sha256 != once.sha256


def test_a_run_that_cannot_be_read_does_not_count(tmp_path: Path) -> None:
    """A damaged study, probes of another kind and folders with the names of files end nothing, where another run is whole."""
    finished(tmp_path / "good", 0.5)
    once = experience.read([str(tmp_path)])
    study = finished(tmp_path / "bad" / "study", 0.1) / "study.db"
    study.write_bytes(study.read_bytes()[:3000])
    (finished(tmp_path / "bad" / "probes", 0.1) / "probes.json").write_text('[{"number": "x"}]')
    (tmp_path / "bad" / "folder" / "result.json").mkdir(parents=True)
    assert experience.read([str(tmp_path)]) == once
    with pytest.raises(InputError, match="no finished run of 2 can be read"):
        experience.read([str(tmp_path / "bad")])


def test_a_folder_without_runs_is_an_error_in_one_line(tmp_path: Path) -> None:
    """It names the folder and what to give instead."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=str(folder)) as error:
            experience.read([str(folder)])
        assert "finished runs" in error.value.hint or "run directory" in error.value.hint
