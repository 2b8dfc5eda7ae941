"""How much of a run's end goes into measuring the winner's forgetting of the source task, and on which images.

In: a run's end, images of the source task (`--source`). Out: a `Forgetting` that took a small share of the budget, or None
and a note. Does NOT cover: the measurement (`execution.insight.forgetting`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from advisor.data import domains
from advisor.data.splits import FOLDS
from advisor.errors import AdviseError, DatasetError, one_line
from advisor.execution.worker import Worker
from advisor.records import Candidate, Forgetting, Trial
from advisor.records.messages import ForgettingMeasured, MeasureForgetting, Refitted
from advisor.runtime.progress import Listener
from advisor.tuning import budget, cost_model, policy
from advisor.tuning.search_run import SearchRun

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
ENDS = (0.0, 1.0)
IMAGES = policy.FORGETTING_IMAGES  # of the new task
FEWEST_IMAGES = 40  # below which the measures are meaningless


def measure_winner(run: SearchRun, winner: Trial, refitted: Refitted, folder: Path) -> Forgetting | None:
    """Measure the winner's forgetting; None if it does not train the pretrained network, or no time is left."""
    if not run.facts.trains_backbone(winner.candidate) or refitted.plan.from_scratch:
        return None
    try:
        job = plan_measurement(run, winner, folder)
        if job is None:
            run.listener.note("forgetting of the source task was not measured: no time is left")
            return None
        if job.source_reason is not None:
            run.listener.note(f"the accuracy on --source could not be measured: {job.source_reason}")
        run.listener.stage("measuring forgetting of the source task")
        deadline = time.monotonic() + run.clock.left_s if run.facts.has_deadline else None
        return run.worker.ask(job, ForgettingMeasured, run.listener.progress, deadline=deadline).forgetting
    except AdviseError as error:
        run.listener.note(f"forgetting of the source task could not be measured: {error}")
        return None


def plan_measurement(run: SearchRun, winner: Trial, folder: Path) -> MeasureForgetting | None:
    """Return the largest measurement that the time allows: fewer images first, then only the two ends of the curve.

    Without a deadline its size is fixed. The first fold's model is measured, on images that it was not trained on, or, if
    it was deleted, the model in `folder`, whose curve is then not valid for the new task. None if no time is left.
    Source images that cannot be read now are left out, with the reason.
    """
    source_path = run.facts.settings.source
    free_s = run.clock.left_s - budget.FINISH_S / 2
    seconds = (
        min(free_s, cost_model.forgetting_s(run.state(), winner.candidate)) if run.facts.has_deadline else float("inf")
    )
    each = cost_model.forward_s(run.state(), winner.candidate)
    native_px = run.facts.registry.backbone(winner.candidate.backbone).preprocess.size
    each_source = (
        cost_model.forward_s(run.state(), replace(winner.candidate, size_px=native_px)) if source_path else 0.0
    )
    fold_model = Path(run.rundir.path / winner.predictions.removesuffix(".npz"))
    has_fold = (fold_model / "model.safetensors").is_file() and (fold_model / "model.json").is_file()
    for shares in (SHARES, ENDS):
        part = seconds / len(shares) / (2 if source_path else 1)
        images = int(min(IMAGES, part / each)) if each > 0 else IMAGES
        if images >= min(FEWEST_IMAGES, run.facts.images // FOLDS):
            most = domains.MOST_SOURCE_IMAGES
            count = int(min(most, part / each_source)) if each_source > 0 else most
            source, reason = _read_source(source_path, count)
            return MeasureForgetting(
                candidate=winner.candidate,
                folder=str(fold_model if has_fold else folder),
                fold=winner.scores[0].fold if has_fold else None,
                seed=run.facts.settings.seed,
                images=images,
                shares=shares,
                source_root=source.root if source else "",
                source_items=source.items if source else (),
                source_classes=source.classes if source else 0,
                source_reason=reason,
            )
    return None


def _read_source(path: str | None, count: int) -> tuple[domains.SourceImages | None, str | None]:
    """Read so many source images; None where none are asked for, or with the reason why there are none."""
    if path is None:
        return None, None
    if count < 1:
        return None, "no time is left for its images"
    try:
        return domains.read_source(path, count), None
    except DatasetError as error:  # the folder may have gone since the run began, and the rest can be measured
        return None, one_line(error)


def measure_rerun(
    worker: Worker,
    candidate: Candidate,
    seed: int,
    folder: Path,
    source: domains.SourceImages,
    listener: Listener,
) -> Forgetting | None:
    """Measure the forgetting of a rerun's model below `folder`, on images that it may have been trained on."""
    listener.stage("measuring forgetting of the source task")
    in_place = (folder / "model.safetensors").is_file()
    model_folder = folder if in_place else folder / "trials" / f"seed-{seed}"
    job = MeasureForgetting(
        candidate=candidate,
        folder=str(model_folder),
        fold=None,
        seed=seed,
        images=IMAGES,
        shares=SHARES,
        source_root=source.root,
        source_items=source.items,
        source_classes=source.classes,
    )
    try:
        return worker.ask(job, ForgettingMeasured, listener.progress).forgetting
    except AdviseError as error:
        listener.note(f"forgetting of the source task could not be measured: {error}")
        return None
