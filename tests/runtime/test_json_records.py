"""Records with numbers that are not finite can be read back from JSON; anything else that does not fit stays an error."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from advisor.records import Candidate, Curve, FoldScore, Trial
from advisor.runtime import json_records
from advisor.runtime.atomic_file import to_json
from advisor.runtime.run_dir import RunDir
from advisor.tuning.trials.study import Study

CANDIDATE = Candidate(backbone="net", strategy="full", parameters={"batch": 8})
SCORE = FoldScore(fold=0, repeat=0, seed=0, n=5, accuracy=0.5, log_loss=math.nan)
TRIAL = Trial(
    number=0,
    candidate=CANDIDATE,
    regime="full",
    state="complete",
    scores=(SCORE,),
    needs_s=math.inf,
    curve=Curve(step=(1, 2), train_loss=(math.nan, 0.5), log_loss=(0.7, 0.6), accuracy=(0.5, 0.5)),
    fitted={"alpha": math.nan},
)


def assert_read(trial: Trial) -> None:
    """Every number that was not finite is nan, and the others are as they were."""
    assert math.isnan(trial.curve.train_loss[0])
    assert trial.curve.train_loss[1] == 0.5
    assert math.isnan(trial.scores[0].log_loss)
    assert math.isnan(trial.fitted["alpha"])
    assert math.isnan(trial.needs_s)
    assert trial.objective is None  # null is a value of its own here


def test_a_trial_with_numbers_that_are_not_finite_is_read_back() -> None:
    """In a list of records, inside of other records, in tuples and by name."""
    assert_read(json_records.decode(to_json([TRIAL]), list[Trial])[0])
    assert_read(json_records.decode(msgspec.json.encode(TRIAL), Trial))


def test_a_run_directory_and_a_study_hold_such_trials(tmp_path: Path) -> None:
    """A resume reads rescored.json and the study as a run without these numbers."""
    rundir = RunDir(tmp_path)
    rundir.write("rescored.json", [TRIAL])
    read = rundir.read("rescored.json", list[Trial])
    assert read is not None
    assert_read(read[0])
    study = Study(tmp_path / "study.db", 0)
    paused = replace(TRIAL, number=study.begin(CANDIDATE), state="pruned")
    study.finish(paused)
    assert_read(Study(tmp_path / "study.db", 0).trials()[0])


@pytest.mark.parametrize("text", ['{"number": null}', "[]", "{", '{"a": 1'])
def test_what_is_no_such_record_stays_an_error(text: str) -> None:
    """Only a number that may be a fraction can be nan."""
    with pytest.raises(msgspec.MsgspecError):
        json_records.decode(text, Trial)
