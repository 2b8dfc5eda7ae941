"""Frozen candidates -> the models that ship: trained on the whole pool, or, where no time is left, what the folds left.

In: a run, a candidate that was frozen. Out: a model in a folder of the run, with what was carried out. A trained
candidate's refit is given up as soon as it is seen to end behind the budget, or where it fails twice: then the mean of its
folds' models ships, or the model of its one fold, which saw all but a fifth of the pool, and recipe and result say so.
What an earlier process wrote is taken as it is.
Does NOT cover: who won (verdict.py), the score (scoring.py).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advisor.data.splits import FOLDS
from advisor.errors import OutOfTimeError, TooSlowError, TrialError, WorkerLostError
from advisor.records import Trial
from advisor.records.messages import Refit, Refitted
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.selection.incumbent import fold_model_folder, read_refitted
from advisor.tuning import cost_model
from advisor.tuning.search_run import SearchRun

HOPELESS = 2.0  # predicted to take so many times what is left: not even worth the first steps
LATE = "no time was left to train"
ALIKE = "as with the recommended model, no time was left to train"
GRACE_S = 10.0  # after its limit, before a worker that hears nothing is stopped


def train(
    run: SearchRun,
    trial: Trial,
    folder: Path,
    *,
    reserve_s: float,
    or_a_fold: bool = True,
    alike: bool = False,
) -> Refitted | None:
    """Train a frozen candidate on all images, `reserve_s` kept back for what comes after it.

    None where that does not fit, or twice failed, and the model of a fold is not wanted. With `alike` what it is compared
    with is as its folds left it, and so is this one. Raises TrialError where a fold's model is wanted and not there.
    """
    written = folder / "refitted.json"
    if not written.is_file():
        left = fold_model_folder(run.rundir.path, trial) if or_a_fold else None
        if alike and left is not None:
            write_atomically(written, to_json(_of_the_folds(run, trial, left, folder, ALIKE)))
            return read_refitted(folder)
        trained = run.facts.trains_backbone(trial.candidate)
        may_fail = run.facts.has_deadline and trained and (left is not None or not or_a_fold)
        refitted, why = _refit(run, trial, folder, run.clock.left_s - reserve_s if may_fail else None)
        if refitted is None and left is not None:
            refitted = _of_the_folds(run, trial, left, folder, why)
        if refitted is None:
            if or_a_fold:
                raise TrialError(f"{why} {trial.candidate.strategy} on all images, and the search left no model of it")
            return None
        write_atomically(written, to_json(refitted))
    return read_refitted(folder)


def _refit(run: SearchRun, trial: Trial, folder: Path, limit_s: float | None) -> tuple[Refitted | None, str]:
    """Train on all images, or say why that did not come to its end."""
    if limit_s is not None and cost_model.train_s(run.state(), trial.candidate, run.facts.images) > HOPELESS * limit_s:
        return None, LATE
    run.listener.stage(f"training {trial.candidate.strategy} on all {run.facts.images:,} images")
    job = Refit(
        candidate=trial.candidate,
        seed=run.facts.settings.seed,
        to=str(folder),
        temperature=trial.temperature,
        fitted=trial.fitted,
        limit_s=limit_s,
    )
    deadline = None if limit_s is None else time.monotonic() + limit_s + GRACE_S
    try:
        return run.ask(job, Refitted, deadline=deadline, restarts=1), ""
    except (TooSlowError, OutOfTimeError):
        return None, LATE
    except (TrialError, WorkerLostError) as error:  # memory that was there during the search may be gone
        return None, f"{str(error).rstrip('.:')}, so it was not possible to train"


def _of_the_folds(run: SearchRun, trial: Trial, found: Path, folder: Path, why: str) -> Refitted:
    known = read_refitted(found)
    told = f"{why} {trial.candidate.strategy} on all images: {_words(known.folds)}"
    told += " (a larger --budget trains on all)" if why in (LATE, ALIKE) else ""
    run.listener.note(told)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found / "model.safetensors", folder / "model.safetensors")
    description = json.loads((found / "model.json").read_text(encoding="utf-8"))
    text = json.dumps({**description, "status": "final"}, indent=1, ensure_ascii=False)
    write_atomically(folder / "model.json", text + "\n")
    warning = "; ".join(w for w in (known.warning, told) if w)
    each_s = trial.seconds / max(1, len(trial.scores))
    folds = known.folds or (trial.scores[0].fold,)
    return replace(known, folds=folds, warning=warning, seconds=round(each_s * len(folds), 2))


def _words(folds: Sequence[int]) -> str:
    if len(folds) > 1:
        return f"the mean of the weights of its {len(folds)} models from the search is taken, which together saw all of them"
    return f"its model from the search is taken, trained on {100 - 100 // FOLDS} % of them"
