"""From the logits that trials left on disk to the verdict: the same images, whole groups, and the regime's evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advisor.records import Candidate, FoldScore, Trial
from advisor.selection import evidence
from advisor.tuning import regime

POOL = 60


def left(
    run_dir: Path, number: int, rows: np.ndarray, margin: np.ndarray, *, name: str = "feature_extraction"
) -> Trial:
    """Leave a trial's two-class logits on disk: image i is right by margin[i]."""
    labels = rows % 2
    signed = np.where(labels == 1, margin, -margin)
    logits = np.stack([-signed / 2, signed / 2], axis=1).astype(np.float32)
    path = f"trials/{number:05d}.npz"
    (run_dir / "trials").mkdir(exist_ok=True)
    np.savez(run_dir / path, rows=rows, logits=logits, labels=labels)
    loss = float(np.log1p(np.exp(-margin)).mean())
    score = FoldScore(fold=0, repeat=0, seed=0, n=len(rows), accuracy=float((margin > 0).mean()), log_loss=loss)
    candidate = Candidate(backbone="net", strategy="ridge", parameters={"number": number})
    return Trial(number=number, candidate=candidate, regime=name, state="complete", scores=(score,), predictions=path)


def test_only_images_that_were_scored_have_an_outcome(tmp_path: Path) -> None:
    """A trial on one fold says nothing of the others' images."""
    rows = np.arange(0, POOL, 2)
    scores = evidence.read_scores(tmp_path, left(tmp_path, 0, rows, np.ones(len(rows))), POOL)
    assert np.isnan(scores.loss[1::2]).all()
    assert scores.loss[0] == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-5)


def test_images_of_one_group_are_no_independent_witnesses(tmp_path: Path) -> None:
    """One patient with fifty images that speak for a trial is one witness: the default is kept."""
    rows = np.arange(POOL)
    default = left(tmp_path, 0, rows, np.full(POOL, 1.0))
    better_on_one = np.full(POOL, 0.9)
    better_on_one[:50] = 1.5
    other = left(tmp_path, 1, rows, better_on_one)
    costs = {0: 0.0, 1: 0.0}
    assert evidence.judge(tmp_path, [default, other], default, POOL, costs).winner == 1
    patients = np.concatenate([np.zeros(50, dtype=np.int64), np.arange(1, 11)])
    assert evidence.judge(tmp_path, [default, other], default, POOL, costs, patients).kept_default


def test_a_probe_does_not_stand_in_for_a_default_without_a_result(tmp_path: Path) -> None:
    """In a budget too short for trial 0, the better of two probes is recommended, whichever came first."""
    rows = np.arange(POOL)
    first, second = left(tmp_path, -1, rows, np.full(POOL, 0.9)), left(tmp_path, -2, rows, np.full(POOL, 1.0))
    decision = evidence.judge(tmp_path, [first, second], None, POOL, {-1: 0.0, -2: 0.0})
    assert (decision.winner, decision.kept_default) == (-2, False)


def test_the_regime_s_evidence_is_paired_on_the_images_that_both_have(tmp_path: Path) -> None:
    """A deep trial on one fold is compared with a head on that fold's images only."""
    head = left(tmp_path, 0, np.arange(POOL), np.full(POOL, 1.0))
    half = np.arange(0, POOL, 2)
    deep = left(tmp_path, 1, half, np.full(len(half), -1.0), name="full")
    settled = evidence.settle_regime(regime.by_size(POOL, 2), tmp_path, [head, deep], head, POOL)
    (comparison,) = settled.evidence
    assert (comparison.n, comparison.value, comparison.reference) == (len(half), 1.0, 0.0)
    assert comparison.p is not None
    assert comparison.p < 0.01


def test_who_is_behind_beyond_any_doubt_is_not_scored_again(tmp_path: Path) -> None:
    """A tie keeps both leaders in doubt; far behind on many images is far behind; on few images nothing is sure."""
    many, few = np.arange(1000), np.arange(100)
    noise = np.random.default_rng(0).normal(0.0, 0.3, 1000)
    best = left(tmp_path, 0, many, 1.0 + noise)
    tie = left(tmp_path, 1, many, 1.0 + np.roll(noise, 1))
    behind = left(tmp_path, 2, many, 0.5 + np.roll(noise, 2))
    on_few = left(tmp_path, 3, few, 0.5 + np.roll(noise, 2)[:100])
    assert evidence.list_doubtful(tmp_path, [best, tie, behind], 1000) == [best, tie]
    assert evidence.list_doubtful(tmp_path, [best, behind], 1000) == []
    assert evidence.list_doubtful(tmp_path, [best, on_few], 1000) == [best, on_few]


def test_many_images_of_one_patient_leave_doubt(tmp_path: Path) -> None:
    """A thousand images of four patients are four witnesses, not a thousand."""
    rows = np.arange(1000)
    by_patient = np.repeat([1.5, 1.4, 1.3, 0.4], 250)
    best, other = left(tmp_path, 0, rows, by_patient), left(tmp_path, 1, rows, np.full(1000, 0.9))
    assert evidence.list_doubtful(tmp_path, [best, other], 1000) == []
    assert evidence.list_doubtful(tmp_path, [best, other], 1000, np.repeat(np.arange(4), 250)) == [best, other]
