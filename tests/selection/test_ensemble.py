"""advisor.selection.ensemble: members are chosen on validation alone, and only where the mean is better than the winner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from opened import resources_of
from photos import write_crops
from sklearn.metrics import log_loss

from advisor.data import dataset
from advisor.execution import refit, test_scoring
from advisor.execution.resources import Resources
from advisor.models import ensemble_predictor, model_files
from advisor.records import Candidate, EnsembleValidation, FoldScore, Trial
from advisor.records.messages import Refit, Score
from advisor.selection import ensemble
from advisor.tuning import policy

POOL, CLASSES = 120, 3
VALIDATION = EnsembleValidation(accuracy=0.9, single_accuracy=0.9, log_loss=0.30, single_log_loss=0.31, n=10)
LABELS = np.arange(POOL) % CLASSES


def tried(run: Path, number: int, logits: np.ndarray, *, strategy: str = "", rows: np.ndarray | None = None) -> Trial:
    """Write a trial's validation logits as `trial` does, and give its record."""
    rows = np.arange(POOL) if rows is None else rows
    name = f"trials/{number:05d}.npz"
    np.savez(run / name, rows=rows, logits=logits[rows].astype(np.float32), labels=LABELS[rows])
    right = float((logits[rows].argmax(1) == LABELS[rows]).mean())
    score = FoldScore(fold=0, repeat=0, seed=0, n=len(rows), accuracy=right, log_loss=0.5 + number)
    candidate = Candidate(backbone="b", strategy=strategy or f"s{number}", parameters={}, size_px=64)
    return Trial(
        number=number, candidate=candidate, regime="partial", state="complete", scores=(score,), predictions=name
    )


@pytest.fixture(name="run")
def _run(tmp_path: Path) -> Path:
    (tmp_path / "trials").mkdir()
    return tmp_path


def noisy(seed: int, strength: float = 1.5) -> np.ndarray:
    """Give logits that know the label, each image's noise its own."""
    return np.eye(CLASSES)[LABELS] * 2.0 + np.random.default_rng(seed).normal(0, strength, (POOL, CLASSES))


def test_members_whose_mistakes_differ_are_averaged(run: Path) -> None:
    """The mean of independent models is better than each; its log-loss is that of the mean of probabilities."""
    trials = [tried(run, n, noisy(n)) for n in range(6)]
    chosen = ensemble.choose_by_predictions(run, trials[0], trials[1:], POOL)
    assert chosen is not None
    assert list(chosen.members) == trials[: policy.ENSEMBLE_MEMBERS]
    each = [np.exp(noisy(t.number)) for t in chosen.members]
    mean = np.mean([e / e.sum(1, keepdims=True) for e in each], axis=0)
    assert chosen.validation.log_loss == pytest.approx(log_loss(LABELS, mean), abs=1e-5)
    assert chosen.validation.single_log_loss == pytest.approx(
        log_loss(LABELS, each[0] / each[0].sum(1, keepdims=True)), abs=1e-5
    )
    assert chosen.validation.log_loss < chosen.validation.single_log_loss
    assert chosen.validation.n == POOL


def test_a_rival_that_is_far_behind_stays_out(run: Path) -> None:
    """A guess would spoil the mean; a network somewhat behind the winner does not."""
    winner, behind = tried(run, 0, noisy(0)), tried(run, 1, noisy(1, 2.0))
    guess = tried(run, 2, np.random.default_rng(9).normal(0, 3, (POOL, CLASSES)))
    assert ensemble.choose_by_predictions(run, winner, [guess], POOL) is None
    assert ensemble.choose_by_predictions(run, winner, [], POOL) is None
    chosen = ensemble.choose_by_predictions(run, winner, [guess, behind], POOL)
    assert chosen is not None
    assert chosen.members == (winner, behind)


def test_only_images_that_all_were_scored_on_count(run: Path) -> None:
    """A trained candidate is scored on one fold; the comparison is on that fold, or there is none.

    A rival that cannot be compared does not keep others out.
    """
    winner, part = tried(run, 0, noisy(0)), tried(run, 1, noisy(1), rows=np.arange(40))
    chosen = ensemble.choose_by_predictions(run, winner, [part], POOL)
    assert chosen is not None
    assert chosen.validation.n == 40
    other = tried(run, 2, noisy(2), rows=np.arange(60, 90))
    assert ensemble.choose_by_predictions(run, part, [other], POOL) is None
    third = tried(run, 3, noisy(3))
    chosen = ensemble.choose_by_predictions(run, part, [other, third], POOL)
    assert chosen is not None
    assert (chosen.members, chosen.validation.n) == ((part, third), 40)


@pytest.fixture(name="resources")
def _resources(tmp_path: Path) -> Resources:
    """Twenty crops in two classes, opened as a worker does; half of them are kept as the test."""
    data = dataset.read(write_crops(tmp_path / "crops", classes=2, each=10, side_px=32), test_split="none")
    return resources_of(data, tmp_path, items=data.items[::2], folds=2)


def test_the_ensemble_is_scored_in_the_same_opening(resources: Resources, run: Path) -> None:
    """One job scores the single model and the ensemble as it is used, on the same images of the test."""
    folders = []
    for strategy, size_px in (("ridge", 48), ("prototypes", 48), ("ridge", 32)):
        context = resources.context(resources.registry.backbone("pocket"), np.arange(10), size_px)
        parameters = dict(resources.registry.strategy(strategy).first_guesses(context)[0])
        candidate = Candidate(backbone="pocket", strategy=strategy, parameters=parameters, size_px=size_px)
        folders.append(run / f"{strategy}-{size_px}")
        refit.refit(
            resources, Refit(candidate=candidate, seed=0, to=str(folders[-1]), temperature=1.0), lambda summary: None
        )
    (run / "ensemble").mkdir()
    model_files.write_ensemble(run / "ensemble", folders, {})
    items = dataset.read(resources.root, test_split="none").items[1::2]
    job = Score(
        folders=(str(folders[0]),),
        ensemble=str(run / "ensemble"),
        items=items,
        predictions=str(run / "trials" / "test.npz"),
    )
    scored = test_scoring.score(resources, job, lambda summary: None)
    labels = np.array([i.label for i in items])
    paths = [str(resources.root / i.path) for i in items]
    mean = ensemble_predictor.load(run / "ensemble", resources.registry).predict(paths).probabilities
    assert scored.ensemble is not None
    assert len(scored.scores) == 1
    assert scored.ensemble.accuracy == pytest.approx((mean.argmax(1) == labels).mean())
    assert scored.ensemble.log_loss == pytest.approx(log_loss(labels, mean), abs=1e-3)
    chosen = ensemble.EnsembleChoice(members=(tried(run, 0, noisy(0)), tried(run, 1, noisy(1))), validation=VALIDATION)
    summary = ensemble.summarise(chosen, scored, run)
    assert summary.test == scored.ensemble
    assert summary.over_single == pytest.approx(scored.ensemble.accuracy - scored.scores[0].accuracy)
    assert summary.beats_single is False
    assert [m.trial for m in summary.members] == [0, 1]
    assert ensemble.summarise(chosen, None, run).test is None
