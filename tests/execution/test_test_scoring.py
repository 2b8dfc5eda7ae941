"""The score of the locked test: what it says of a model is what `predict` says of the same images, however it is made."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photos import write_crops

import advisor
from advisor.data import dataset
from advisor.execution.worker import Worker, open_job
from advisor.metrics import intervals
from advisor.records import Candidate, Settings
from advisor.records.messages import Refit, Refitted, Score, Scored
from advisor.runtime.run_dir import RunDir

MODELS = {
    "the last stage": Candidate(backbone="pocket", strategy="ridge", parameters={"layers": "last"}, size_px=64),
    "all stages": Candidate(backbone="pocket", strategy="logistic", parameters={"layers": "all"}, size_px=64),
    "mirrored": Candidate(
        backbone="pocket", strategy="ridge", parameters={"layers": "all", "mirror": True}, size_px=64
    ),
    "trained": Candidate(backbone="pocket", strategy="partial", parameters={"epochs": 1.0}, size_px=64),
}


def test_the_locked_test_is_scored_as_predict_would(tmp_path: Path) -> None:
    """Frozen networks share one pass over the test; a mirrored head must still see both views there."""
    crops = write_crops(tmp_path / "crops")
    data = dataset.read(str(crops))
    settings = Settings(data=data.root, threads=1, offline=True)
    rundir = RunDir.create(tmp_path / "run", data=crops)
    worker = Worker()
    try:
        worker.open(open_job(settings, rundir.path, data, data.pool))
        folders = []
        for candidate in MODELS.values():
            folders.append(str(tmp_path / hashlib.sha256(repr(candidate).encode()).hexdigest()))
            worker.ask(Refit(candidate=candidate, seed=0, to=folders[-1], temperature=1.3), Refitted)
        score = Score(folders=tuple(folders), items=data.test, predictions=str(tmp_path / "test.npz"))
        scored = worker.ask(score, Scored)
        by_patient = tuple(replace(item, group=f"patient {n // 4}") for n, item in enumerate(data.test))
        grouped = worker.ask(replace(score, items=by_patient, predictions=str(tmp_path / "grouped.npz")), Scored)
    finally:
        worker.stop()
    with np.load(tmp_path / "test.npz") as saved:
        logits = saved["logits"]
    for name, folder, ours, score_of in zip(MODELS, folders, logits, scored.scores, strict=True):
        predictions = advisor.load(folder).predict([crops / item.path for item in data.test])
        shares = np.exp(ours - ours.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        np.testing.assert_allclose(shares, predictions.probabilities, atol=1e-4, err_msg=name)
        right = [item.label for item in data.test]
        assert score_of.accuracy == pytest.approx(np.mean(predictions.probabilities.argmax(1) == right)), name
    with np.load(tmp_path / "grouped.npz") as saved:
        for logits, score_of in zip(saved["logits"], grouped.scores, strict=True):
            right_n = logits.argmax(1) == saved["labels"]
            assert score_of.ci95 == intervals.grouped_wilson(right_n, saved["groups"])
        assert len(set(saved["groups"].tolist())) == -(-len(data.test) // 4)
    widths = [[score.ci95[1] - score.ci95[0] for score in each.scores] for each in (grouped, scored)]
    assert all(wide > narrow for wide, narrow in zip(*widths, strict=True))
