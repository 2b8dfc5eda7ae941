"""The score of the locked test: what it says of a model is what `predict` says of the same images, however it is made."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import opened
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photos import write_crops

import advisor
from advisor.data import dataset
from advisor.execution import refit, test_scoring
from advisor.execution.worker import Worker, open_job
from advisor.metrics import intervals
from advisor.models import model_files
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
        assert np.array_equal(saved["feature_groups"], saved["groups"])  # all of so few images keep their features
    widths = [[score.ci95[1] - score.ci95[0] for score in each.scores] for each in (grouped, scored)]
    assert all(wide > narrow for wide, narrow in zip(*widths, strict=True))


def test_a_part_of_the_test_is_scored_first_and_the_rest_only_in_time(tmp_path: Path) -> None:
    """Where the limit has passed only the first part is scored; otherwise all images are, in their order, as at once."""
    crops = write_crops(tmp_path / "crops")
    data = dataset.read(str(crops))
    rundir = RunDir.create(tmp_path / "run", data=crops)
    first = tuple(range(0, len(data.test), 2))
    worker = Worker()
    try:
        worker.open(open_job(Settings(data=data.root, threads=1, offline=True), rundir.path, data, data.pool))
        worker.ask(Refit(candidate=MODELS["all stages"], seed=0, to=str(tmp_path / "m"), temperature=1.3), Refitted)
        whole = Score(folders=(str(tmp_path / "m"),), items=data.test, predictions=str(tmp_path / "whole.npz"))
        worker.ask(whole, Scored)
        parts = {
            limit_s: worker.ask(
                replace(whole, first=first, limit_s=limit_s, predictions=str(tmp_path / f"{limit_s}.npz")), Scored
            )
            for limit_s in (0.0, 600.0)
        }
    finally:
        worker.stop()
    assert [part.first_only for part in parts.values()] == [True, False]
    for limit_s, rows in ((0.0, list(first)), (600.0, list(range(len(data.test))))):
        with np.load(tmp_path / f"{limit_s}.npz") as saved, np.load(tmp_path / "whole.npz") as expected:
            np.testing.assert_array_equal(saved["labels"], expected["labels"][rows])
            np.testing.assert_allclose(saved["logits"], expected["logits"][:, rows], atol=1e-4)
        assert parts[limit_s].scores[0].n == len(rows)


def test_the_whole_test_comes_before_the_ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the single model can score the rest in time, it does, as without an ensemble, which then has no score."""
    crops = write_crops(tmp_path / "crops")
    data = dataset.read(str(crops))
    resources = opened.resources_of(data, tmp_path / "run")
    folders = []
    for name in ("all stages", "the last stage"):
        folders.append(tmp_path / name)
        refit.refit(resources, Refit(candidate=MODELS[name], seed=0, to=str(folders[-1]), temperature=1.3), print)
    (tmp_path / "ensemble").mkdir()
    model_files.write_ensemble(tmp_path / "ensemble", folders, {})
    alone = Score(folders=(str(folders[0]),), items=data.test, predictions=str(tmp_path / "alone.npz"))
    parts = tuple(range(0, len(data.test), 2))
    both = replace(
        alone,
        ensemble=str(tmp_path / "ensemble"),
        first=parts,
        limit_s=600.0,
        predictions=str(tmp_path / "both.npz"),
    )
    expected = test_scoring.score(resources, alone, lambda progress: None)
    assert test_scoring.score(resources, both, lambda progress: None).ensemble is not None
    monkeypatch.setattr(test_scoring, "models_in_time", lambda singles, others, *seconds: list(singles))
    scored = test_scoring.score(resources, both, lambda progress: None)
    assert (scored.ensemble, scored.first_only) == (None, False)
    assert scored.scores[0].n == expected.scores[0].n == len(data.test)
    assert scored.scores[0].accuracy == expected.scores[0].accuracy
    with np.load(tmp_path / "both.npz") as saved, np.load(tmp_path / "alone.npz") as whole:
        np.testing.assert_allclose(saved["logits"], whole["logits"], atol=1e-4)


@given(
    singles_s=st.floats(0.1, 10.0), others_s=st.floats(0.0, 10.0), share=st.floats(0.1, 5.0), limit_s=st.floats(0, 100)
)
def test_models_that_score_the_rest_end_within_the_limit(
    singles_s: float, others_s: float, share: float, limit_s: float
) -> None:
    """All of them where that fits, the single ones where only that does, and never one that does not."""
    singles, others = [test_scoring.SavedModel("a")], [test_scoring.SavedModel("b")] if others_s else []
    passed_s = singles_s + others_s
    chosen = test_scoring.models_in_time(singles, others, singles_s, passed_s, share, limit_s)
    costs = {0: passed_s, 1: passed_s + share * singles_s, 1 + len(others): passed_s + share * passed_s}
    assert not chosen or costs[len(chosen)] <= limit_s
    assert len(chosen) == max((n for n, s in costs.items() if n == 0 or s <= limit_s), default=0)
