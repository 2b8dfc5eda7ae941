"""Candidate + folds -> Trial: train on a fold's training part, score on its validation part, leave logits behind.

In: resources (pixels, networks, features) and a `RunTrial` or `Probe`. Out: a `Trial`, and `trials/NNNNN.npz` with the
rows and validation logits. A killed trial goes on from its last rung. Does NOT cover: what to try (`tuning.search`), refits.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from advisor.aliases import Float32s, Rows
from advisor.errors import (
    AdviseError,
    BackboneError,
    DivergedError,
    OutOfMemoryError,
    OutputError,
    StrategyError,
    TooSlowError,
    TrialError,
)
from advisor.execution import fold_averaging, timing, trainer
from advisor.execution.checkpoint import Checkpoint, FoldOutcome
from advisor.execution.resources import Resources, images_per_step
from advisor.heads import fitting as heads
from advisor.hooks import Backbone
from advisor.metrics import classification
from advisor.metrics.objectives import held_out
from advisor.records import Curve, FoldScore, TrainPlan, Trial, recipe_file
from advisor.records.messages import OnProgress, Progress, RunTrial
from advisor.records.objective import ObjectiveSpec
from advisor.records.trials import FailureKind, regime_name
from advisor.runtime import atomic_file
from advisor.runtime.run_dir import trial_name
from advisor.training import loop as training

Attempt = Callable[[Resources, RunTrial, OnProgress], Trial]


def run(resources: Resources, job: RunTrial, emit: OnProgress, *, once: Attempt | None = None) -> Trial:
    """Run one trial to its end; a failure is recorded, and out of memory it is tried again at half the batch.

    The second time has what the first one left of the job's limit. `once` runs it once (default: `attempt`, in this process).
    """
    before = time.monotonic()
    trial = (once or attempt)(resources, job, emit)
    is_short = trial.failure_kind == "out_of_memory"
    smaller = _with_half_the_batch(resources, job, time.monotonic() - before) if is_short else None
    if smaller is not None:
        _checkpoint(resources, job).unlink(missing_ok=True)  # what ended before the memory ran out is of another plan
        fold_averaging.discard(resources, job)
        trial = (once or attempt)(resources, smaller, emit)
    return replace(trial, seconds=time.monotonic() - before)


def attempt(resources: Resources, job: RunTrial, emit: OnProgress) -> Trial:
    """Run one trial once. Any error makes it a failed trial with that reason, except a full or read-only disk.

    Raises OutputError or OSError in that case, because every other trial would fail too.
    """
    try:
        return _run(resources, _of_existing_folds(resources, job), emit)
    except OutputError:
        raise
    except AdviseError as error:
        if isinstance(error, BackboneError | StrategyError):
            traceback.print_exc()  # for the author of the plugin
        return failed(resources, job, error)
    except Exception as error:  # a third-party strategy or network may raise anything; the search outlives it
        if isinstance(error, OSError) and atomic_file.takes_nothing(error):
            raise
        traceback.print_exc()
        return failed(resources, job, error)


def _of_existing_folds(resources: Resources, job: RunTrial) -> RunTrial:
    """Return the job without folds that do not exist: few images or groups make fewer folds."""
    count = len(resources.folds(job.repeat))
    return replace(job, folds=tuple(fold for fold in job.folds if fold < count))


def _with_half_the_batch(resources: Resources, job: RunTrial, passed_s: float) -> RunTrial | None:
    """Return the job at half its batch in the time left; None where there is no time, or its strategy takes no such batch."""
    batch = (images_per_step(job.candidate.parameters) or 0) // 2
    limit_s = None if job.limit_s is None else job.limit_s - passed_s
    parameters = {**job.candidate.parameters, "batch": batch}
    is_legal = recipe_file.are_legal(resources.registry.strategy(job.candidate.strategy), parameters)
    if batch < 2 or not is_legal or (limit_s is not None and limit_s <= 0):
        return None
    return replace(job, candidate=replace(job.candidate, parameters=parameters), limit_s=limit_s)


def failed(resources: Resources, job: RunTrial, error: Exception) -> Trial:
    """Record a trial that failed, with its reason in words and as a kind."""
    reason = str(error) if isinstance(error, AdviseError) else f"{type(error).__name__}: {error}"
    regime = regime_name(resources.registry.strategy(job.candidate.strategy).regime)
    return Trial(
        number=job.number,
        candidate=job.candidate,
        regime=regime,
        state="failed",
        error=" ".join(reason.split()).encode("utf-8", "backslashreplace").decode(),
        started_s=job.started_s,
        needs_s=error.needs_s if isinstance(error, TooSlowError) else 0.0,
        failure_kind=failure_kind(error),
    )


def failure_kind(error: Exception) -> FailureKind:
    """Return the kind of failure that the search acts on."""
    if isinstance(error, OutOfMemoryError | MemoryError | torch.OutOfMemoryError):
        return "out_of_memory"
    if isinstance(error, DivergedError):
        return "diverged"
    return "too_slow" if isinstance(error, TooSlowError) else "other"


def _run(resources: Resources, job: RunTrial, emit: OnProgress) -> Trial:
    backbone = resources.registry.backbone(job.candidate.backbone)
    plan = resources.allowed_plan(job.candidate, resources.folds(job.repeat)[job.folds[0]][0])
    if plan.phases:
        outcomes = list(_train_folds(resources, job, emit))
    else:
        outcomes = _fit_heads(resources, job, backbone, plan)
    rows = np.concatenate([o.rows for o in outcomes])
    logits = _finite(np.concatenate([o.logits for o in outcomes]), trains=bool(plan.phases))
    labels = resources.labels[rows]
    temperature = classification.fit_temperature(logits, labels)
    stopped = next((o.stopped_at for o in outcomes if o.stopped_at), None)
    if stopped is None and len(outcomes) > 1:
        fold_averaging.mix(resources, job, plan, temperature, job.folds[: len(outcomes)])
    return Trial(
        number=job.number,
        candidate=job.candidate,
        regime=regime_name(resources.registry.strategy(job.candidate.strategy).regime),
        state="pruned" if stopped else "complete",
        error=f"stopped at {stopped} % of its steps: behind the others there" if stopped else "",
        scores=tuple(
            _fold_score(resources, job, fold, o, temperature) for fold, o in zip(job.folds, outcomes, strict=False)
        ),
        started_s=job.started_s,
        steps=plan.steps,
        epochs=plan.steps / max(1, -(-(len(resources.labels) - len(outcomes[0].rows)) // plan.batch)),
        temperature=temperature,
        curve=outcomes[0].curve,
        predictions=_keep_predictions(resources, job, rows, logits),
        continues=job.candidate.continues,
        fitted=outcomes[0].fitted,
        objective=held_out.loss(resources.job.objective, logits, labels, temperature),
    )


def _finite(logits: Float32s, *, trains: bool) -> Float32s:
    """Return the logits. Raises TrialError where they have no loss that can be compared and written down."""
    if np.isfinite(logits).all():
        return logits
    if trains:
        raise DivergedError("the network's outputs are not finite: the learning rate is too high for this network")
    raise TrialError("the head's outputs are not finite: are the features of every stage that it reads?")


def _fold_score(resources: Resources, job: RunTrial, fold: int, outcome: FoldOutcome, temperature: float) -> FoldScore:
    # Scaled by the trial's own temperature, since that is how the model is used, and what makes trials comparable.
    labels = resources.labels[outcome.rows]
    return FoldScore(
        fold=fold,
        repeat=job.repeat,
        seed=job.seed,
        n=len(labels),
        accuracy=classification.accuracy(outcome.logits, labels),
        log_loss=classification.log_loss(outcome.logits / np.float32(temperature), labels),
    )


def _keep_predictions(resources: Resources, job: RunTrial, rows: Rows, logits: Float32s) -> str:
    name = f"trials/{trial_name(job.number, job.repeat)}.npz"
    path = Path(resources.job.run_dir) / name
    if resources.group.is_first:
        with atomic_file.replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, rows=rows, logits=logits, labels=resources.labels[rows])
    return name


def _fit_heads(resources: Resources, job: RunTrial, backbone: Backbone, plan: TrainPlan) -> list[FoldOutcome]:
    values, blocks = trainer.head_features(resources, backbone, job.candidate, plan)
    folds = [resources.folds(job.repeat)[f] for f in job.folds]
    deadline = timing.Deadline.of(job.limit_s, time.monotonic())
    logits = heads.oof(
        plan.head,
        values,
        resources.labels,
        resources.classes,
        folds,
        seed=job.seed,
        class_weights=plan.class_weights,
        blocks=blocks,
        watch=timing.watch(deadline) if resources.group.is_single else None,
    )
    return [FoldOutcome(rows=val, logits=logits[val], curve=Curve()) for _, val in folds]


def _train_folds(resources: Resources, job: RunTrial, emit: OnProgress) -> Iterator[FoldOutcome]:
    path = _checkpoint(resources, job)
    saved = Checkpoint(path, writes=resources.group.is_first, of=_paused(path, job))
    # In a group one clock counts: a rank alone that gave up would leave the others waiting.
    deadline = timing.Deadline.of(job.limit_s, time.monotonic()) if resources.group.is_first else None
    longest = 0.0
    for position, fold in enumerate(job.folds):
        plan = resources.plan(job.candidate, resources.folds(job.repeat)[fold][0])
        before = time.monotonic()
        done = saved.outcome(position, plan) if fold_averaging.has_left(resources, job, position) else None
        may_stop = position > 0 and resources.group.is_single  # what was scored so far then stands
        if done is None and may_stop and deadline is not None and longest > deadline.left_s:
            break
        if done is None:
            try:
                done = _train_fold(resources, job, fold, position, saved, deadline, emit)
            except TooSlowError:
                if not may_stop:
                    raise
                break
            saved.finish_fold(position, plan, done)
            longest = max(longest, time.monotonic() - before)
        yield done
        if resources.job.procedure > 1:
            job = replace(job, fitted=done.fitted)  # one finish for all folds, so that the score is of what ships
        if done.stopped_at:
            return  # its checkpoint stays: should it be promoted, it goes on from there
    saved.remove()


def _checkpoint(resources: Resources, job: RunTrial) -> Path:
    return Path(resources.job.run_dir) / "trials" / f"{trial_name(job.number, job.repeat)}.ckpt"


def _paused(path: Path, job: RunTrial) -> Path | None:
    """Name the checkpoint of the paused trial that this one goes on with."""
    continues = job.candidate.continues
    return None if continues is None or job.repeat else path.with_name(f"{trial_name(continues, 0)}.ckpt")


def _train_fold(
    resources: Resources,
    job: RunTrial,
    fold: int,
    position: int,
    saved: Checkpoint,
    deadline: timing.Deadline | None,
    emit: OnProgress,
) -> FoldOutcome:
    rows, val = resources.folds(job.repeat)[fold]
    plan = resources.plan(job.candidate, rows)
    loop = trainer.start_loop(resources, job.candidate, plan, rows, job.seed)
    restored = saved.restore(position, loop)
    if restored is None:
        loop = trainer.start_loop(resources, job.candidate, plan, rows, job.seed)
    (curve, first_rung), classifier = restored or (Curve(), 0), loop.classifier
    emit = _of_fold(emit, position, len(job.folds), loop)
    logits, fitted = np.zeros((len(val), resources.classes), dtype=np.float32), {}
    rungs = timing.rungs(loop, len(val))
    for rung in rungs[first_rung:]:
        loss = timing.steps_until(loop, max(1, plan.steps * rung // 100), deadline, emit)
        if rung == 100:
            fitted = trainer.finish(resources, job.candidate, plan, loop, val, job.fitted)
        logits = _finite(trainer.score_rows(resources, job.candidate, plan, classifier, val), trains=True)
        curve = _extended(curve, loop.step, loss, logits, resources.labels[val], resources.job.objective)
        emit(Progress(what="trial", done=loop.step, total=plan.steps, loss=loss, accuracy=curve.accuracy[-1]))
        if rung < 100:
            saved.write(position, rungs.index(rung) + 1, loop, curve)
            # The thresholds are of losses on the first fold: another fold's images may be harder for every trial.
            if position == 0 and curve.losses[-1] > job.stop_above.get(rung, float("inf")):
                return FoldOutcome(rows=val, logits=logits, curve=curve, stopped_at=rung)
    fold_averaging.leave(resources, job, plan, classifier, position, rows=rows, logits=logits, val=val)
    return FoldOutcome(rows=val, logits=logits, curve=curve, fitted=fitted)


def _of_fold(emit: OnProgress, position: int, folds: int, loop: training.Loop) -> OnProgress:
    """Return `emit` for one fold: its progress names the fold, and how many epochs a fold trains."""
    epochs = loop.rounds(loop.plan.steps)
    return lambda progress: emit(replace(progress, fold=position + 1, folds=folds, epochs=epochs))


def _extended(curve: Curve, step: int, loss: float, logits: Float32s, labels: Rows, objective: ObjectiveSpec) -> Curve:
    decides = held_out.loss(objective, logits, labels)
    if np.isnan(loss) and curve.train_loss:
        loss = curve.train_loss[-1]  # a training of one or two steps takes none between some rungs
    return Curve(
        step=(*curve.step, step),
        train_loss=(*curve.train_loss, loss),
        log_loss=(*curve.log_loss, classification.log_loss(logits, labels)),
        accuracy=(*curve.accuracy, classification.accuracy(logits, labels)),
        objective=curve.objective if decides is None else (*curve.objective, decides),
    )
