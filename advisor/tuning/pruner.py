"""Trials that were paused at a rung: which of them is worth going on with, and whose checkpoints and models are kept.

A trial pauses where its loss lies above the median of the others at that rung. Where later trials turn out worse, it is
promoted: a new trial with the same parameters goes on from the checkpoint, or, where that is missing, trains again from
step 0 to the same result. Source: asynchronous successive halving, Li et al. 2018 (1810.05934), with the median of
Golovin et al. 2017 (Vizier) as the rule. Does NOT cover: what fits into the time (costs.py).
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advisor.records import Candidate, Trial
from advisor.runtime.run_dir import RunDir

STOPPED_AFTER = 4  # earlier trials at a rung, before the median of them may stop another
KEPT = 4  # checkpoints of paused trials, best first
MODELS = 6  # of trained trials, best first; the untuned default's comes on top


def limits(trials: Sequence[Trial], rungs: Sequence[int]) -> dict[int, float]:
    """Give, for each rung that enough trials have reached, the loss above which a trial pauses there: their median."""
    found = {}
    for position, rung in enumerate(rungs):
        reached = _losses(trials, position)
        if len(reached) >= STOPPED_AFTER:
            found[rung] = statistics.median(reached)
    return found


def promotion(trials: Sequence[Trial], begun: Sequence[Candidate]) -> Candidate | None:
    """Give the paused trial to go on with: below the median at its rung by now, the furthest and best first.

    `begun` are the candidates of all trials, also of those that are under way.
    """
    waiting = []
    for trial in paused(trials, begun):
        position = len(trial.curve.log_loss) - 1
        loss = trial.curve.log_loss[position]
        if loss < statistics.median(_losses(trials, position)):
            waiting.append((-position, loss, trial.number, trial))
    if not waiting:
        return None
    best = min(waiting)[-1]
    return replace(best.candidate, origin=f"promoted: {best.number}", continues=best.number)


def paused(trials: Sequence[Trial], begun: Sequence[Candidate]) -> list[Trial]:
    """List the paused trials that no other goes on with."""
    gone_on = {c.continues for c in begun}
    return [t for t in trials if t.state == "pruned" and t.curve.log_loss and t.number not in gone_on]


def tidy(rundir: RunDir, trials: Sequence[Trial], begun: Sequence[Candidate]) -> None:
    """Keep the checkpoints of the few best paused trials; without its own a promotion trains again from step 0.

    And the models of the few best trained ones, and of the first trial: the others are too far behind to ship.
    """
    waiting = sorted(paused(trials, begun), key=lambda t: (-len(t.curve.log_loss), t.curve.log_loss[-1]))
    for trial in waiting[KEPT:]:
        _checkpoint(rundir, trial).unlink(missing_ok=True)
    trained = sorted((t for t in trials if t.steps and t.state == "complete"), key=lambda t: (t.log_loss, t.number))
    first = min((t.number for t in trials), default=None)
    for trial in trained[MODELS:]:
        if trial.number != first:
            shutil.rmtree(_checkpoint(rundir, trial).with_suffix(""), ignore_errors=True)


def _checkpoint(rundir: RunDir, trial: Trial) -> Path:
    return rundir.trials / f"{Path(trial.predictions).stem}.ckpt"


def _losses(trials: Sequence[Trial], position: int) -> list[float]:
    gone_on = {t.candidate.continues for t in trials}
    counted = (t for t in trials if t.number not in gone_on)  # a promotion's curve begins with its paused trial's
    # Of a short training the end alone is known (pace.rungs).
    on_the_way = (t for t in counted if t.state != "complete" or len(t.curve.log_loss) > 1)
    return [t.curve.log_loss[position] for t in on_the_way if len(t.curve.log_loss) > position]
