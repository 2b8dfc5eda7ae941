"""A probe: one pass over the images, given up where it cannot end in the time that is left for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from opened import job_of
from photos import write_crops

from advisor import registry
from advisor.data import dataset
from advisor.errors import TooSlowError
from advisor.execution import probe
from advisor.execution.resources import Resources
from advisor.records import Candidate
from advisor.records.messages import Probe


def test_a_pass_that_cannot_end_in_time_is_given_up(tmp_path: Path) -> None:
    """Beyond its limit nothing is cached; without one, and within it, the same heads are scored."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=6, side_px=32), test_split="none")
    (tmp_path / "run" / "trials").mkdir(parents=True)
    resources = Resources(job_of(data, tmp_path / "run"), registry.load(), lambda what, done, total: None)
    ridge = Candidate(backbone="pocket", strategy="ridge", parameters={"layers": "last"}, size_px=32)
    job = Probe(backbone="pocket", candidates=(ridge,), first_number=-1, seed=0, limit_s=0.0)
    with pytest.raises(TooSlowError, match="are left for it"):
        probe.probe(resources, job)
    bounded, free = (probe.probe(resources, replace(job, limit_s=limit)).trials[0] for limit in (600.0, None))
    assert bounded.log_loss == free.log_loss < 1.0


def test_a_pass_of_one_batch_or_more_is_timed(tmp_path: Path) -> None:
    """The speed of the network is measured on 12 images as on 70; features that were only read are timed on a batch."""
    for each in (6, 35):
        data = dataset.read(
            write_crops(tmp_path / f"crops-{each}", classes=2, each=each, side_px=32), test_split="none"
        )
        (tmp_path / f"run-{each}" / "trials").mkdir(parents=True)
        job = job_of(data, tmp_path / f"run-{each}")
        ridge = Candidate(backbone="pocket", strategy="ridge", parameters={"layers": "last"}, size_px=32)
        order = Probe(backbone="pocket", candidates=(ridge,), first_number=-1, seed=0, timed=True)
        for _ in range(2):  # the second one reads
            resources = Resources(job, registry.load(), lambda what, done, total: None)
            assert 0 < probe.probe(resources, order).images_per_s < 1e7
