"""Members of an ensemble before a deadline: which of them fit, and what a trained one costs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
from searches import TRAINED

from advisor.records import Candidate, FoldScore, Trial
from advisor.runtime import clock
from advisor.runtime.progress import Listener
from advisor.selection import ensemble, final_models
from advisor.tuning import cost_model
from advisor.tuning.search_run import SearchRun

POOL, CLASSES = 48, 3


def head(run: SearchRun, number: int, backbone: str, loss: float) -> Trial:
    """Give a head on frozen features whose validation logits know the label; its noise is its own."""
    labels = np.arange(POOL) % CLASSES
    logits = np.eye(CLASSES)[labels] * 2.0 + np.random.default_rng(number).normal(0, 1.5, (POOL, CLASSES))
    name = f"trials/probe-{number:05d}.npz"
    np.savez(run.rundir.path / name, rows=np.arange(POOL), logits=logits.astype(np.float32), labels=labels)
    score = FoldScore(fold=0, repeat=0, seed=0, n=POOL, accuracy=0.8, log_loss=loss)
    candidate = Candidate(backbone=backbone, strategy="ridge", parameters={}, size_px=64)
    return Trial(
        number=-number,
        candidate=candidate,
        regime="feature_extraction",
        state="complete",
        scores=(score,),
        predictions=name,
    )


def at(run: SearchRun, left_s: float, *probes: Trial) -> SearchRun:
    """Return the run with so many seconds left and these candidates scored."""
    return replace(run, clock=clock.Clock(600.0, used_before_s=600.0 - left_s), probes=list(probes))


def noting(run: SearchRun, notes: list[str]) -> SearchRun:
    """Return the run with a listener that collects its notes."""
    listener = Listener()
    listener.note = notes.append  # type: ignore[method-assign]
    return replace(run, listener=listener)


def test_the_dearest_member_gives_way_where_not_all_fit(run: SearchRun) -> None:
    """A best rival that is too expensive does not keep out those that are cheap."""
    tried = [head(run, n, *of) for n, of in enumerate((("pocket", 0.3), ("densenet121", 0.4), ("squeezenet1_1", 0.5)))]
    winner, dear, cheap = tried
    state = at(run, 400.0, *tried).state()

    def needed_s(*members: Trial) -> float:
        return cost_model.finish_s(state, winner.candidate, beside=[t.candidate for t in members])

    both = ensemble.choose(at(run, needed_s(dear, cheap) + 5.0, *tried), winner, tried)
    assert both is not None
    assert both.members == (winner, dear, cheap)
    assert needed_s(cheap) + 0.02 < needed_s(dear)
    one = ensemble.choose(at(run, needed_s(cheap) + 0.02, *tried), winner, tried)
    assert one is not None
    assert one.members == (winner, cheap)
    notes: list[str] = []
    assert ensemble.choose(noting(at(run, 0.0, *tried), notes), winner, tried) is None
    assert [n.split(" about ")[0] for n in notes] == ["no ensemble: with another network the end of the run needs"]
    assert ensemble.choose(noting(at(run, 0.0, winner), notes), winner, [winner]) is None
    assert len(notes) == 1, "there was no other network"


def test_what_was_trained_joins_as_its_fold_left_it(run: SearchRun, trained: Trial) -> None:
    """A refit would take what all other members cost together, and more than what is left."""
    winner, other = head(run, 3, "squeezenet1_1", 0.5), head(run, 4, "pocket", 5.0)
    trained = replace(trained, scores=(replace(trained.scores[0], log_loss=0.4),))
    with np.load(run.rundir.path / trained.predictions) as saved:
        rows, labels = saved["rows"], saved["labels"]
    logits, truth = np.zeros((POOL, CLASSES), dtype=np.float32), np.zeros(POOL, dtype=np.int64)
    logits[rows, labels], truth[rows] = 0.5, labels
    np.savez(run.rundir.path / winner.predictions, rows=np.arange(POOL), logits=logits, labels=truth)
    short = at(run, 60.0, winner, trained, other)
    chosen = ensemble.choose(short, winner, [winner, trained, other])
    assert chosen is not None
    assert chosen.members == (winner, trained)
    folder = short.rundir.trials / "final-winner"
    final_models.train(short, trained, folder, reserve_s=1.0)
    written = ensemble.train(short, chosen, folder)
    assert written is not None
    fold_model = short.rundir.path / trained.predictions.removesuffix(".npz") / "model.safetensors"
    assert (written / "model-1.safetensors").read_bytes() == fold_model.read_bytes()


def test_a_head_stands_in_for_a_training_that_left_no_model(run: SearchRun) -> None:
    """It would have to be refitted; the next best candidate of the same network joins instead."""
    winner, other = head(run, 5, "squeezenet1_1", 0.5), head(run, 6, "pocket", 0.6)
    gone = replace(head(run, 7, "pocket", 0.4), candidate=TRAINED, regime="partial", steps=8)
    chosen = ensemble.choose(at(run, 60.0, winner, gone, other), winner, [winner, gone, other])
    assert chosen is not None
    assert chosen.members == (winner, other)


def test_a_member_without_a_model_is_named(run: SearchRun) -> None:
    """Whatever keeps it from being trained: the note has the reason and the member, and no word of a time that ran out."""
    winner, other = head(run, 5, "squeezenet1_1", 0.5), head(run, 6, "pocket", 0.6)
    notes: list[str] = []
    ample = noting(at(run, 400.0, winner, other), notes)
    chosen = ensemble.choose(ample, winner, [winner, other])
    assert chosen is not None
    for folder in (run.rundir.path / "ensemble", run.rundir.trials / "final-member-1"):
        shutil.rmtree(folder, ignore_errors=True)  # of other tests
    (run.rundir.trials / "final-member-1").touch()  # where its folder should be
    assert ensemble.train(ample, chosen, run.rundir.trials / "final-winner") is None
    assert notes[-1] == "no ensemble: its member ridge on pocket has no model"
    assert "final-member-1" in notes[-2]
