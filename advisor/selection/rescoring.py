"""Re-evaluation of the leading candidates on new folds and seeds, which did not select them, as far as the time allows.

In: contenders. Out: the same trials with the new scores appended, and `rescored.json`, from which a resume continues. A
contender that is clearly behind the best is not re-evaluated: on 50,000 images that took half a minute per head.
Does NOT cover: the verdict (`evidence`, `verdict`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from advisor.data.splits import FOLDS
from advisor.errors import AdviseError
from advisor.records import Trial
from advisor.records.messages import RunTrial
from advisor.selection import evidence
from advisor.tuning import cost_model, policy
from advisor.tuning.search_run import SearchRun

REPEATS = (1, 2)  # of the folds, for heads; a trained candidate gets the first


def rescore(
    run: SearchRun, contenders: Sequence[Trial], groups: npt.NDArray[np.int64] | None = None
) -> dict[int, Trial]:
    """Re-evaluate the leaders and return them by number, with those of an earlier process. `groups` are the pool's."""
    rescored = {t.number: t for t in run.rundir.read("rescored.json", list[Trial]) or []}
    doubtful = evidence.list_doubtful(
        run.rundir.path, _leaders(contenders), run.facts.images, groups, run.facts.objective
    )
    leaders = {t.number: t for t in doubtful if t.number not in rescored}
    waiting = deque((t, repeat) for t in leaders.values() for repeat in _repeats(run, t))
    replies: dict[int, dict[int, Trial | None]] = {number: {} for number in leaders}
    while waiting or run.executor.busy:
        while waiting and run.executor.free:
            trial, repeat = waiting.popleft()
            order = _order(run, trial, repeat)
            if order is not None:
                run.executor.submit(order)
            elif _record(run, replies, trial, repeat, None):
                _write(run, rescored, leaders, replies)
        ended = run.executor.poll(run.listener.progress) if run.executor.busy else None
        if ended is not None:
            trial = leaders[ended.job.number]
            if _record(run, replies, trial, ended.job.repeat, ended.outcome):
                _write(run, rescored, leaders, replies)
    return rescored


def _leaders(contenders: Sequence[Trial]) -> list[Trial]:
    unique: list[Trial] = []
    for trial in sorted(contenders, key=lambda t: t.rank):
        same = [u for u in unique if u.candidate == trial.candidate]
        if not same and len(unique) < policy.LEADERS:
            unique.append(trial)
    return unique


def _repeats(run: SearchRun, trial: Trial) -> tuple[int, ...]:
    return REPEATS[:1] if run.facts.trains_backbone(trial.candidate) else REPEATS


def _order(run: SearchRun, trial: Trial, repeat: int) -> RunTrial | None:
    """Return the order for one repeat; None if it does not fit into the time left."""
    left_s = run.clock.left_s - cost_model.reserve_s(run.state(), trial.candidate)
    folds = _folds(run, trial, left_s)
    if not folds and trial == run.state().best() and run.facts.trains_backbone(trial.candidate):
        # A trained candidate loses a tie with a head, so new scores are worth more than its refit, if only one fits.
        left_s = run.clock.left_s - cost_model.reserve_s(run.state(), trial.candidate, refit=False)
        folds = _folds(run, trial, left_s)[: len(trial.scores)]
    if not folds:
        return None
    return RunTrial(
        number=trial.number,
        candidate=trial.candidate,
        folds=folds,
        repeat=repeat,
        seed=run.facts.settings.seed + repeat,
        started_s=run.clock.used_s,
        limit_s=left_s if run.facts.has_deadline else None,
        fitted=dict(trial.fitted),
    )


def _folds(run: SearchRun, trial: Trial, left_s: float) -> tuple[int, ...]:
    """Return the folds: all for a head, as many as the time allows for a trained candidate.

    A trained candidate is scored on few images at first, and the verdict compares it with heads scored on all of them.
    """
    first = tuple(s.fold for s in trial.scores if s.repeat == 0)
    each_s = cost_model.train_s(run.state(), trial.candidate, run.facts.images - run.facts.images // FOLDS)
    if not run.facts.trains_backbone(trial.candidate):
        return tuple(range(FOLDS)) if not run.facts.has_deadline or each_s <= left_s else ()
    if not run.facts.has_deadline:
        return first
    fit = min(FOLDS, int(max(0.0, left_s) / max(each_s, 1e-9)))
    return (*first, *(f for f in range(FOLDS) if f not in first))[:fit]


def _record(
    run: SearchRun,
    replies: dict[int, dict[int, Trial | None]],
    trial: Trial,
    repeat: int,
    reply: Trial | AdviseError | None,
) -> bool:
    """Record the reply to one repeat; return True if it was the trial's last one."""
    if isinstance(reply, AdviseError):
        run.rundir.log("rescore failed", at_s=run.clock.used_s, number=trial.number, error=str(reply))
        reply = None
    replies[trial.number][repeat] = reply if reply is not None and reply.state == "complete" else None
    return len(replies[trial.number]) == len(_repeats(run, trial))


def _merged(trial: Trial, repeats: list[Trial]) -> Trial:
    """Return the trial with the scores of its repeats, its objective averaged over all scored images."""
    scores = (*trial.scores, *(s for repeat in repeats for s in repeat.scores))
    sizes = [(t.objective, sum(s.n for s in t.scores)) for t in (trial, *repeats)]
    measured = [(value, n) for value, n in sizes if value is not None]
    mean = sum(value * n for value, n in measured) / sum(n for _, n in measured) if measured else None
    return replace(trial, scores=scores, objective=mean)


def _write(
    run: SearchRun,
    rescored: dict[int, Trial],
    leaders: dict[int, Trial],
    replies: dict[int, dict[int, Trial | None]],
) -> None:
    """Write every leader whose repeats all ended, its scores in the order of the repeats."""
    for number, trial in leaders.items():
        by_repeat = replies[number]
        new_scores = [by_repeat[r] for r in sorted(by_repeat) if by_repeat[r] is not None]
        if new_scores and len(by_repeat) == len(_repeats(run, trial)):
            rescored[number] = _merged(trial, [t for t in new_scores if t is not None])
    run.rundir.write("rescored.json", list(rescored.values()))
