"""How much of a run's end goes into the index of training images, which tells images that are unlike them.

In: a run's end, the final model. Out: the index beside the model and its record, or None and a note: it takes a small
share of the budget, and nothing where the time is over. Does NOT cover: building it (`execution.insight.training_index`).
"""

from __future__ import annotations

import time
from pathlib import Path

from advisor.errors import AdviseError
from advisor.execution.worker import Worker
from advisor.models import model_files
from advisor.records import Candidate, Trial, UnlikeImages
from advisor.records.insight_messages import IndexTraining, TrainingIndexed
from advisor.records.messages import Refitted
from advisor.runtime.progress import Listener
from advisor.tuning import budget, cost_model, policy
from advisor.tuning.search_run import SearchRun

STAGE = "indexing the training images"
COMPARE_S = 1.0  # for reading the model and comparing the images with each other


def index(run: SearchRun, winner: Trial, refitted: Refitted, staged: Path) -> UnlikeImages | None:
    """Write the index beside the final model in `staged`, and beside the ensemble's first member, if time is left."""
    left_s = run.clock.left_s - budget.FINISH_S / 2
    if run.facts.has_deadline and left_s < COMPARE_S:
        _note(run.listener, "no time is left for it")
        return None
    own = run.rundir.path / winner.predictions.removesuffix(".npz")
    job = IndexTraining(
        folder=str(staged),
        seed=run.facts.settings.seed,
        folds=refitted.folds,
        fold_folder=str(own) if all((own / name).is_file() for name in ("model.safetensors", "model.json")) else "",
        fold=winner.scores[0].fold if winner.scores else 0,
        test_features=str(run.rundir.trials / "test.npz"),
        passes=_passes(run, winner.candidate, left_s) if run.facts.has_deadline else None,
    )
    deadline = time.monotonic() + left_s if run.facts.has_deadline else None
    unlike = ask(run.worker, job, run.listener, deadline=deadline)
    ensemble = run.rundir.path / model_files.ENSEMBLE_FOLDER
    if unlike is not None and (ensemble / model_files.ENSEMBLE).is_file():
        model_files.copy_novelty(staged, ensemble, "model-0")
    return unlike


def index_rerun(
    worker: Worker, folder: Path, seed: int, folds: tuple[int, ...], *, is_only: bool, listener: Listener
) -> UnlikeImages | None:
    """Write the index beside the model of a rerun, and return its record; None where it cannot be had.

    `is_only`: the test images there were scored by this model alone, so that their features are its own.
    """
    features = str(folder / "trials" / "test.npz") if is_only else ""
    job = IndexTraining(folder=str(folder), seed=seed, folds=folds, test_features=features)
    return ask(worker, job, listener)


def ask(
    worker: Worker, job: IndexTraining, listener: Listener, *, deadline: float | None = None
) -> UnlikeImages | None:
    """Build the index in a worker; None and a note where that fails, which never costs the run."""
    listener.stage(STAGE)
    try:
        reply = worker.ask(job, TrainingIndexed, listener.progress, deadline=deadline)
    except AdviseError as error:
        _note(listener, str(error).rstrip("."))
        return None
    if reply.unlike is None:
        _note(listener, reply.reason)
    return reply.unlike


def _note(listener: Listener, reason: str) -> None:
    listener.note(f"the model gets no index of its training images, so it cannot answer unknown: {reason}")


def _passes(run: SearchRun, winner: Candidate, left_s: float) -> int:
    """Return how many images may go through a trained network: what a small share of the budget affords."""
    share_s = policy.NOVELTY_SHARE * (run.facts.settings.budget_s or 0.0)
    each_s = cost_model.forward_s(run.state(), winner) * (2 if winner.parameters.get("mirror") else 1)
    return int(max(0.0, min(share_s, left_s) - COMPARE_S) / max(each_s, 1e-9))
