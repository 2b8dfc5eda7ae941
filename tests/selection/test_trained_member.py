"""A trained winner without an ensemble: another network is trained to join it where that fits and is near enough."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import faulty_plugins
import numpy as np
import pytest
import searches

from advisor.records import Candidate, FoldScore, Trial
from advisor.records.messages import RunTrial
from advisor.runtime import clock
from advisor.selection import ensemble, incumbent, trained_member
from advisor.selection.trained_member import Plan
from advisor.tuning import cost_model, policy
from advisor.tuning.search_run import SearchRun
from advisor.tuning.search_state import SearchState

OTHER = "good"
LONG, SHORT = searches.FULL, replace(searches.FULL, parameters={"epochs": 1.0})


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRun]:
    """A search on 48 crops with the built-in network and a small third-party one."""
    with faulty_plugins.installed(tmp_path_factory.mktemp("site")), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MENAGERIE", OTHER)
        with searches.on_crops(tmp_path_factory.mktemp("search")) as run:
            run.describe(["pocket", OTHER])
            run.probes = [probe(1, "pocket", 0.9), probe(2, OTHER, 0.9)]
            yield run


def probe(number: int, backbone: str, loss: float, size_px: int = 64) -> Trial:
    """A head on the last stage's features, scored on all folds."""
    candidate = Candidate(backbone=backbone, strategy="ridge", parameters={"layers": "last"}, size_px=size_px)
    score = FoldScore(fold=0, repeat=0, seed=0, n=48, accuracy=0.5, log_loss=loss)
    return Trial(
        number=-number, candidate=candidate, regime="feature_extraction", state="complete", scores=(score,), seconds=0.1
    )


def winner(candidate: Candidate = LONG, loss: float = 0.8, folds: int = 2) -> Trial:
    """A finished training."""
    scores = tuple(FoldScore(fold=f, repeat=0, seed=0, n=9, accuracy=0.6, log_loss=loss) for f in range(folds))
    return Trial(number=0, candidate=candidate, regime="full", state="complete", scores=scores, steps=20, seconds=8.0)


def told(state: SearchState, left_s: float, fold_s: float = 4.0) -> SearchState:
    """Return the state with so many seconds left, on a machine where a whole training on one fold takes `fold_s`."""
    state = replace(searches.taking(state, fold_s), left_s=left_s)
    for name in ("pocket", OTHER):
        like = replace(LONG, backbone=name)
        state.speeds.observe_training("full", name, cost_model.card_s(state, like, state.fold_images), fold_s)
    return state


def needed_s(state: SearchState, won: Trial, other: Candidate) -> float:
    """Return what the end takes with the member, the winner refitted."""
    return cost_model.finish_s(state, won.candidate, beside=(other,))


def test_another_network_is_trained_as_the_winner_was(run: SearchRun) -> None:
    """On the folds of the winner, as many as fit; then shortened on one; then not at all."""
    won, state = winner(), told(run.state(), 600.0)
    chosen = trained_member.plan(state, won)
    assert chosen is not None
    assert (chosen.candidate.backbone, chosen.candidate.strategy, chosen.folds) == (OTHER, "full", (0, 1))
    end_s = needed_s(state, won, chosen.candidate)
    each_s = cost_model.train_s(state, chosen.candidate, state.fold_images)

    def with_room(seconds: float) -> Plan | None:
        return trained_member.plan(replace(state, left_s=end_s + seconds / policy.FILL_SHARE_MEASURED), won)

    one = with_room(1.5 * each_s)
    assert one is not None
    assert (one.candidate, one.folds) == (chosen.candidate, (0,))
    shorter = with_room(0.9 * each_s)
    assert shorter is not None
    assert 0 < shorter.candidate.parameters["epochs"] < chosen.candidate.parameters["epochs"]
    assert with_room(0.01 * each_s) is None


def test_there_is_none_where_it_would_not_join_or_nothing_was_asked_for(run: SearchRun) -> None:
    """Far behind, a head as the winner, without a deadline, many images, a network that was trained, other squares."""
    state, won = told(run.state(), 600.0), winner()
    assert trained_member.plan(state, won) is not None
    assert trained_member.plan(state, winner(loss=0.1)) is None
    assert trained_member.plan(state, winner(replace(run.probes[0].candidate))) is None
    assert trained_member.plan(replace(state, settings=replace(state.settings, budget_s=None)), won) is None
    assert trained_member.plan(replace(state, settings=replace(state.settings, trials=0)), won) is None
    assert trained_member.plan(replace(state, counts=(2000, 2000, 1000)), won) is None
    tried = replace(won, number=1, candidate=replace(LONG, backbone=OTHER), state="failed")
    assert trained_member.plan(replace(state, trials=(tried,)), won) is None
    assert trained_member.plan(replace(state, probes=(run.probes[0], probe(2, OTHER, 0.9, size_px=128))), won) is None


def test_a_member_is_trained_and_joins(run: SearchRun) -> None:
    """It is a trial like every other, scored on images that the winner was scored on, and leaves a model behind."""
    job = RunTrial(number=run.begin(SHORT), candidate=SHORT, folds=(1,), repeat=0, seed=0, started_s=0.0)
    won = run.worker.ask(job, Trial)
    run.record_trial(won)
    hopeful = replace(won, scores=tuple(replace(s, log_loss=1.0) for s in won.scores))
    ample = replace(run, clock=clock.Clock(600.0))
    member = trained_member.train(ample, hopeful)
    assert member is not None
    assert (member.candidate.backbone, member.candidate.strategy) == (OTHER, "full")
    assert [s.fold for s in member.scores] == [1]
    assert member in ample.study.trials()
    assert incumbent.fold_model_folder(ample.rundir.path, member) is not None
    agree(ample, won, member)
    chosen = ensemble.choose(ample, won, [won, member])
    assert chosen is not None
    assert [t.number for t in chosen.members] == [won.number, member.number]
    assert math.isfinite(chosen.validation.log_loss)


def agree(run: SearchRun, *trials: Trial) -> None:
    """Let the saved answers of both be right, so that their mean is not behind."""
    for trial in trials:
        with np.load(run.rundir.path / trial.predictions) as saved:
            rows, labels = saved["rows"], saved["labels"]
        np.savez(
            run.rundir.path / trial.predictions,
            rows=rows,
            logits=2.0 * np.eye(3, dtype=np.float32)[labels],
            labels=labels,
        )
