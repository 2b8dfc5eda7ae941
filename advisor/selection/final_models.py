"""Frozen candidates -> the final models: trained on the whole pool, or, if the time is too short, the models of the folds.

In: a run, a frozen candidate. Out: a model in a folder of the run, with the record of its training. The refit of a trained
candidate is abandoned as soon as it is predicted to end after the budget, or if it fails twice: then the mean of its fold
models is used, or the model of its only fold, which was trained on all but a fifth of the pool; recipe and result state it.
Models that an earlier process wrote are used.
Does NOT cover: the choice of candidates (`verdict`), the test score (`execution.test_scoring`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advisor.data.splits import FOLDS
from advisor.errors import (
    AdviseError,
    OutOfMemoryError,
    OutOfTimeError,
    PluginError,
    RefitError,
    StrategyError,
    TooSlowError,
    TrialError,
    WorkerLostError,
)
from advisor.execution import job_limit
from advisor.models import model_files
from advisor.records import Trial
from advisor.records.messages import Refit, Refitted
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.selection.incumbent import fold_model_folder, read_refitted
from advisor.tuning import cost_model
from advisor.tuning.search_run import SearchRun

HOPELESS = 2.0  # predicted to take this many times the time left: not even the first steps are tried
LIKE_THE_WINNER = "neither was the recommended model"
LARGER_BUDGET = " (a larger --budget refits on all images)"


def train(
    run: SearchRun,
    trial: Trial,
    folder: Path,
    *,
    reserve_s: float,
    allow_fold_model: bool = True,
    not_refitted: str = "",
) -> Refitted | None:
    """Train a frozen candidate on all images, with `reserve_s` seconds reserved for what comes after it.

    Returns None, and says why, if that does not fit or fails twice and `allow_fold_model` is False. With `not_refitted`, a
    reason in words, the fold model is used if there is one. Where a fold model is needed and missing, raises RefitError, or
    the error itself if its cause may pass: short memory, a process that died.
    """
    written = folder / "refitted.json"
    if not written.is_file():
        fold_folder = fold_model_folder(run.rundir.path, trial) if allow_fold_model else None
        if not_refitted and fold_folder is not None:
            write_atomically(written, to_json(_use_fold_model(run, trial, fold_folder, folder, not_refitted)))
            return read_refitted(folder)
        trained = run.facts.trains_backbone(trial.candidate)
        may_fail = run.facts.has_deadline and trained and (fold_folder is not None or not allow_fold_model)
        refitted, reason, error = _refit(run, trial, folder, run.clock.left_s - reserve_s if may_fail else None)
        if refitted is None and fold_folder is not None:
            refitted = _use_fold_model(run, trial, fold_folder, folder, reason)
        if refitted is None:
            if allow_fold_model:
                raise _no_model(trial, reason, error)
            run.listener.note(f"{trial.candidate.backbone}: {_not_refitted(trial, reason)}")
            return None
        write_atomically(written, to_json(refitted))
    return read_refitted(folder)


def _no_model(trial: Trial, reason: str, error: AdviseError | None) -> AdviseError:
    """Return the error for a winner that is left without a model."""
    what = f"{_not_refitted(trial, reason)}, and the search left no model of it."
    if error is None or isinstance(error, OutOfMemoryError | WorkerLostError):
        return TrialError(what)
    strategy = error.strategy if isinstance(error, StrategyError) else ""
    return RefitError(what, trial=trial.number, reason=reason, strategy=strategy)


def _refit(
    run: SearchRun, trial: Trial, folder: Path, limit_s: float | None
) -> tuple[Refitted | None, str, AdviseError | None]:
    """Train on all images within `limit_s`; return the record, or None, the reason in words, and the error if not of time."""
    predicted_s = cost_model.train_s(run.state(), trial.candidate, run.facts.images)
    if limit_s is not None and predicted_s > HOPELESS * limit_s:
        return None, _too_slow(predicted_s, limit_s), None
    run.listener.stage(f"refitting the candidate ({trial.candidate.strategy}) on all {run.facts.images:,} images")
    job = Refit(
        candidate=trial.candidate,
        seed=run.facts.settings.seed,
        to=str(folder),
        temperature=trial.temperature,
        fitted=trial.fitted,
        limit_s=limit_s,
    )
    deadline = None if limit_s is None else time.monotonic() + job_limit.ended_after_s(limit_s)
    try:
        return run.ask(job, Refitted, deadline=deadline, restarts=1), "", None
    except TooSlowError as error:
        return None, _too_slow(error.needs_s or predicted_s, limit_s), None
    except OutOfTimeError:
        return None, _too_slow(None, limit_s), None
    except (
        TrialError,
        PluginError,
        WorkerLostError,
    ) as error:  # memory that was free during the search may be used by now
        reason = error.reason if isinstance(error, StrategyError) else str(error)
        return None, reason.rstrip(".:"), error


def _too_slow(needs_s: float | None, limit_s: float | None) -> str:
    needed = "more time was needed" if needs_s is None else f"{needs_s:.0f} s were needed"
    return f"{needed}, {max(0.0, limit_s or 0.0):.0f} s were left{LARGER_BUDGET}"


def _not_refitted(trial: Trial, reason: str) -> str:
    return f"{trial.candidate.strategy} was not refitted on all images: {reason}"


def _use_fold_model(run: SearchRun, trial: Trial, fold_folder: Path, folder: Path, reason: str) -> Refitted:
    """Copy the fold model into `folder` as the final one; its warning states why."""
    fold_model = read_refitted(fold_folder)
    message = f"{_not_refitted(trial, reason)}; {_describe_fold_model(fold_model.folds)}"
    run.listener.note(message)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(fold_folder / "model.safetensors", folder / "model.safetensors")
    description = model_files.read_description(fold_folder / "model.json")
    model_files.write_description(folder / "model.json", {**description, "status": "final"})
    warning = "; ".join(w for w in (fold_model.warning, message) if w)
    each_s = trial.seconds / max(1, len(trial.scores))
    folds = fold_model.folds or (trial.scores[0].fold,)
    return replace(fold_model, folds=folds, warning=warning, seconds=round(each_s * len(folds), 2))


def _describe_fold_model(folds: Sequence[int]) -> str:
    if len(folds) > 1:
        return f"the mean of the weights of its {len(folds)} fold models is used, which together were trained on all images"
    return f"its model from the search is used, trained on {100 - 100 // FOLDS} % of the images"
