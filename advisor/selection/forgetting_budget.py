"""Source-like images that a person gives (--source), and what is asked of a winner: how much of its source it has kept.

In: a folder of class folders whose sorted order is that of the source head's classes; a run's end. Out: items; a
`Forgetting`, within a small share of the budget, or the reason why there is none. Does NOT cover: measuring (`retention`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from advisor.data import domains
from advisor.data.splits import FOLDS
from advisor.errors import AdviseError, TrialError
from advisor.execution.worker import Worker
from advisor.records import Candidate, Forgetting, Trial
from advisor.records.messages import ForgettingMeasured, MeasureForgetting, Refitted
from advisor.runtime.progress import Listener
from advisor.tuning import budget, cost_model, policy
from advisor.tuning.search_run import SearchRun

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
ENDS = (0.0, 1.0)
IMAGES = policy.FORGETTING_IMAGES  # of the new task
LEAST = 40  # images under which the measures say nothing
SOURCE_IMAGES = 500


def measure_winner(run: SearchRun, winner: Trial, refitted: Refitted, folder: Path) -> Forgetting | None:
    """Ask how much of its source the winner has kept; None where it left the network as it was, or no time is left."""
    if not run.facts.trains_backbone(winner.candidate) or refitted.plan.from_scratch:
        return None
    job = plan_measurement(run, winner, folder)
    if job is None:
        run.listener.note("no time is left to see how much of the source is kept")
        return None
    run.listener.stage("looking at what is kept of the source")
    try:
        deadline = time.monotonic() + run.clock.left_s if run.facts.has_deadline else None
        return run.worker.ask(job, ForgettingMeasured, run.listener.progress, deadline=deadline).forgetting
    except AdviseError as error:
        run.listener.note(f"how much of the source is kept could not be measured: {error}")
        return None


def plan_measurement(run: SearchRun, winner: Trial, folder: Path) -> MeasureForgetting | None:
    """Put the question as large as the time allows: fewer images first, then the two ends of the curve alone.

    Without a clock its size is fixed. The first fold's model is asked about, on images that it has not seen, or where
    that is gone the model in `folder`, whose curve says nothing of the new task. None where no time is left.
    """
    given = domains.read_source(run.facts.settings.source) if run.facts.settings.source else None
    left = run.clock.left_s - budget.FINISH_S / 2
    seconds = (
        min(left, cost_model.forgetting_s(run.state(), winner.candidate)) if run.facts.has_deadline else float("inf")
    )
    each = cost_model.forward_s(run.state(), winner.candidate)
    native_px = run.facts.registry.backbone(winner.candidate.backbone).preprocess.size
    each_source = cost_model.forward_s(run.state(), replace(winner.candidate, size_px=native_px)) if given else 0.0
    own = Path(run.rundir.path / winner.predictions.removesuffix(".npz"))
    has_fold = (own / "model.safetensors").is_file() and (own / "model.json").is_file()
    for shares in (SHARES, ENDS):
        part = seconds / len(shares) / (2 if given else 1)
        images = int(min(IMAGES, part / each)) if each > 0 else IMAGES
        if images >= min(LEAST, run.facts.images // FOLDS):
            count = int(min(SOURCE_IMAGES, part / each_source)) if each_source > 0 else SOURCE_IMAGES
            return MeasureForgetting(
                candidate=winner.candidate,
                folder=str(own if has_fold else folder),
                fold=winner.scores[0].fold if has_fold else None,
                seed=run.facts.settings.seed,
                images=images,
                shares=shares,
                source_root=given.root if given else "",
                source_items=domains.first_by_hash(given.items, count) if given else (),
                source_classes=given.classes if given else 0,
            )
    return None


def measure_rerun(
    worker: Worker, candidate: Candidate, seed: int, place: Path, given: domains.SourceImages, listener: Listener
) -> Forgetting | None:
    """Ask the same of a model that was trained again and lies in `place`, on images that it may have been trained on."""
    listener.stage("looking at what is kept of the source")
    folder = place if (place / "model.safetensors").is_file() else place / "trials" / f"seed-{seed}"
    job = MeasureForgetting(
        candidate=candidate,
        folder=str(folder),
        fold=None,
        seed=seed,
        images=IMAGES,
        shares=SHARES,
        source_root=given.root,
        source_items=domains.first_by_hash(given.items, SOURCE_IMAGES),
        source_classes=given.classes,
    )
    try:
        return worker.ask(job, ForgettingMeasured, listener.progress).forgetting
    except TrialError as error:
        listener.note(f"{error}")
        return None
