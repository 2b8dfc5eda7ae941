"""Early stopping: when a trial pauses, which paused trial is continued, and whose checkpoints and models are kept.

A trial pauses where its loss on its first fold lies above the median of the others' at that rung, on the same fold; once its
first fold has ended, it trains on all of its folds. Where later trials turn out worse, it is promoted: a new trial with the
same parameters goes on from the checkpoint, or, where that is missing, trains again from step 0 to the same result. Source:
asynchronous successive halving, Li et al. 2018 (1810.05934), with the median of Golovin et al. 2017 (Vizier) as the rule.
Does NOT cover: what fits into the time (`cost_model`).
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advisor.records import Candidate, Trial
from advisor.runtime.run_dir import RunDir
from advisor.tuning import policy


def pause_thresholds(trials: Sequence[Trial], rungs: Sequence[int]) -> dict[int, float]:
    """Return, for each rung that enough trials have reached, the loss above which a trial pauses there: their median.

    They are losses on the first fold, whose curve a trial's record holds, and are for no other fold.
    """
    medians = {}
    for position, rung in enumerate(rungs):
        reached = _losses(trials, position)
        if len(reached) >= policy.MIN_TRIALS_AT_RUNG:
            medians[rung] = statistics.median(reached)
    return medians


def promotion(trials: Sequence[Trial], begun: Sequence[Candidate]) -> Candidate | None:
    """Return the paused trial to continue: below the median at its rung by now, the furthest and best first.

    `begun` are the candidates of all trials, also of those that are under way.
    """
    promising = [t for t in paused(trials, begun) if _last_loss(t) < statistics.median(_losses(trials, _rung(t)))]
    best = min(promising, key=lambda t: (-_rung(t), _last_loss(t), t.number), default=None)
    if best is None:
        return None
    return replace(best.candidate, origin=f"promoted: {best.number}", continues=best.number)


def _rung(trial: Trial) -> int:
    """Return the position of the last rung that a trial has reached."""
    return len(trial.curve.losses) - 1


def _last_loss(trial: Trial) -> float:
    return trial.curve.losses[-1]


def paused(trials: Sequence[Trial], begun: Sequence[Candidate]) -> list[Trial]:
    """List the paused trials that no other trial continues."""
    gone_on = {c.continues for c in begun}
    return [t for t in trials if t.state == "pruned" and t.curve.losses and t.number not in gone_on]


def tidy(rundir: RunDir, trials: Sequence[Trial], begun: Sequence[Candidate]) -> None:
    """Delete all checkpoints but those of the few best paused trials; without its own a promotion trains again from step 0.

    And the models of the few best trained ones, and of the first trial: the others are too far behind to ship.
    """
    waiting = sorted(paused(trials, begun), key=lambda t: (-_rung(t), _last_loss(t)))
    for trial in waiting[policy.KEPT_CHECKPOINTS :]:
        _checkpoint(rundir, trial).unlink(missing_ok=True)
    trained = sorted((t for t in trials if t.steps and t.state == "complete"), key=lambda t: t.rank)
    first = min((t.number for t in trials), default=None)
    for trial in trained[policy.KEPT_MODELS :]:
        if trial.number != first:
            shutil.rmtree(_checkpoint(rundir, trial).with_suffix(""), ignore_errors=True)


def _checkpoint(rundir: RunDir, trial: Trial) -> Path:
    return rundir.trials / f"{Path(trial.predictions).stem}.ckpt"


def _losses(trials: Sequence[Trial], position: int) -> list[float]:
    gone_on = {t.candidate.continues for t in trials}
    counted = (t for t in trials if t.number not in gone_on)  # a promotion's curve begins with its paused trial's
    # Of a short training the end alone is known (timing.rungs).
    on_the_way = (t for t in counted if t.state != "complete" or len(t.curve.losses) > 1)
    return [t.curve.losses[position] for t in on_the_way if len(t.curve.losses) > position]
