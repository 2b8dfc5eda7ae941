"""A search on real crops, and a training that it did: what tests of the end of a run begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import searches

from advisor.records import Trial
from advisor.records.messages import RunTrial
from advisor.tuning.search_run import SearchRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRun]:
    """A search on real crops with one worker."""
    with searches.on_crops(tmp_path_factory.mktemp("selection")) as run:
        run.describe(["pocket"])
        yield run


@pytest.fixture(scope="module")
def trained(run: SearchRun) -> Trial:
    """A trial that left its first fold's model behind."""
    job = RunTrial(number=0, candidate=searches.TRAINED, folds=(1,), repeat=0, seed=0, started_s=0.0)
    trial = run.worker.ask(job, Trial)
    assert trial.state == "complete", trial.error
    return trial
