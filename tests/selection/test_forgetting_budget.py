"""Forgetting at the end of a run: what fails there costs the measurement, or a part of it, never the run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from photos import write_crops
from searches import TRAINED

from advisor.data import domains
from advisor.records import Trial
from advisor.records.messages import Refit, Refitted, RunTrial
from advisor.runtime.progress import Listener
from advisor.selection.measurements import forgetting_budget
from advisor.tuning.search_run import SearchRun


class Notes(Listener):
    """Collects the notes of a run."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Collect one."""
        self.notes.append(text)


def test_a_source_that_goes_during_a_run_costs_its_accuracy_alone(run: SearchRun, tmp_path: Path) -> None:
    """The measures that need no source are taken, with the reason why one is missing; nothing is raised."""
    number = run.begin(TRAINED)
    job = RunTrial(number=number, candidate=TRAINED, folds=(0,), repeat=0, seed=0, started_s=0.0)
    winner = run.worker.ask(job, Trial)
    refit = Refit(candidate=TRAINED, seed=0, to=str(tmp_path / "model"), temperature=1.0, folds=(0,))
    refitted = run.worker.ask(refit, Refitted)
    source = write_crops(tmp_path / "source", classes=2, each=3, side_px=32)
    assert len(domains.read_source(str(source)).items) == 6
    shutil.rmtree(source)  # as a disk that is unmounted before the end
    listener = Notes()
    settings = replace(run.facts.settings, source=str(source))
    at_its_end = replace(run, facts=replace(run.facts, settings=settings), listener=listener)
    measured = forgetting_budget.measure_winner(at_its_end, winner, refitted, tmp_path / "model")
    assert measured is not None
    assert measured.cka is not None
    assert measured.source is None
    assert f"--source {source}" in (measured.source_reason or "")
    assert any("--source" in note for note in listener.notes)
