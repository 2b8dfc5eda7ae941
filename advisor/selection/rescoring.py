"""The leaders, scored again on folds and seeds that did not choose them, as far as the time allows.

In: contenders. Out: the same trials with the fresh scores behind their own, and `rescored.json`, from which a resume
goes on. What is behind the best beyond any doubt is not scored again: on 50,000 images that took half a minute a head.
Does NOT cover: who wins (judging.py).
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
from advisor.tuning import cost_model
from advisor.tuning.search_run import SearchRun

LEADERS = 3  # contenders scored again on fresh folds and seeds
FRESH = (1, 2)  # the repeats of a head's fresh folds; a trained candidate gets the first


def rescore(
    run: SearchRun, contenders: Sequence[Trial], groups: npt.NDArray[np.int64] | None = None
) -> dict[int, Trial]:
    """Score the leaders again; give them by number, those of an earlier process included. `groups` are the pool's."""
    done = {t.number: t for t in run.rundir.read("rescored.json", list[Trial]) or []}
    doubtful = evidence.list_doubtful(run.rundir.path, _leaders(contenders), run.facts.images, groups)
    leaders = {t.number: t for t in doubtful if t.number not in done}
    waiting = deque((t, repeat) for t in leaders.values() for repeat in _repeats(run, t))
    fresh: dict[int, dict[int, Trial | None]] = {number: {} for number in leaders}
    while waiting or run.executor.busy:
        while waiting and run.executor.free:
            trial, repeat = waiting.popleft()
            order = _order(run, trial, repeat)
            if order is not None:
                run.executor.submit(order)
            elif _note(run, fresh, trial, repeat, None):
                _write(run, done, leaders, fresh)
        ended = run.executor.poll(run.listener.progress) if run.executor.busy else None
        if ended is not None:
            trial = leaders[ended.order.number]
            if _note(run, fresh, trial, ended.order.repeat, ended.answer):
                _write(run, done, leaders, fresh)
    return done


def _leaders(contenders: Sequence[Trial]) -> list[Trial]:
    unique: list[Trial] = []
    for trial in sorted(contenders, key=lambda t: (t.log_loss, t.number)):
        same = [u for u in unique if u.candidate == trial.candidate]
        if not same and len(unique) < LEADERS:
            unique.append(trial)
    return unique


def _repeats(run: SearchRun, trial: Trial) -> tuple[int, ...]:
    return FRESH[:1] if run.facts.trains_backbone(trial.candidate) else FRESH


def _order(run: SearchRun, trial: Trial, repeat: int) -> RunTrial | None:
    """Say what to run; None where the time is too short for it."""
    left = run.clock.left_s - cost_model.reserve_s(run.state(), trial.candidate)
    folds = _folds(run, trial, left)
    if not folds and trial == run.state().best() and run.facts.trains_backbone(trial.candidate):
        # It loses where it cannot be told from a head: its refit, which has no room beside this, is worth less.
        left = run.clock.left_s - cost_model.reserve_s(run.state(), trial.candidate, refit=False)
        folds = _folds(run, trial, left)[: len(trial.scores)]
    if not folds:
        return None
    return RunTrial(
        number=trial.number,
        candidate=trial.candidate,
        folds=folds,
        repeat=repeat,
        seed=run.facts.settings.seed + repeat,
        started_s=run.clock.used_s,
        limit_s=left if run.facts.has_deadline else None,
    )


def _folds(run: SearchRun, trial: Trial, left_s: float) -> tuple[int, ...]:
    """Choose the folds: all for a head, as many as the time allows for a trained candidate.

    What is trained is scored on few images, and the verdict must tell it from heads that were scored on all.
    """
    first = tuple(s.fold for s in trial.scores if s.repeat == 0)
    each_s = cost_model.train_s(run.state(), trial.candidate, run.facts.images - run.facts.images // FOLDS)
    if not run.facts.trains_backbone(trial.candidate):
        return tuple(range(FOLDS)) if not run.facts.has_deadline or each_s <= left_s else ()
    if not run.facts.has_deadline:
        return first
    fit = min(FOLDS, int(left_s / max(each_s, 1e-9)))
    return (*first, *(f for f in range(FOLDS) if f not in first))[:fit]


def _note(
    run: SearchRun,
    fresh: dict[int, dict[int, Trial | None]],
    trial: Trial,
    repeat: int,
    answer: Trial | AdviseError | None,
) -> bool:
    """Keep what came of one repeat; say whether it was the trial's last one."""
    if isinstance(answer, AdviseError):
        run.rundir.log("rescore failed", at_s=run.clock.used_s, number=trial.number, error=str(answer))
        answer = None
    fresh[trial.number][repeat] = answer if answer is not None and answer.state == "complete" else None
    return len(fresh[trial.number]) == len(_repeats(run, trial))


def _write(
    run: SearchRun,
    done: dict[int, Trial],
    leaders: dict[int, Trial],
    fresh: dict[int, dict[int, Trial | None]],
) -> None:
    """Write down every leader of which all repeats were heard, scores in the order of the repeats."""
    for number, trial in leaders.items():
        heard = fresh[number]
        again = [heard[r] for r in sorted(heard) if heard[r] is not None]
        if again and len(heard) == len(_repeats(run, trial)):
            done[number] = replace(trial, scores=(*trial.scores, *(s for t in again if t for s in t.scores)))
    run.rundir.write("rescored.json", list(done.values()))
