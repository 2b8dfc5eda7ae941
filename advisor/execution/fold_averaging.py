"""The models that the folds of a trial leave behind: the first one's as it is, and the mean of all their weights.

In: trained classifiers, one per fold. Out: model files under `trials/NNNNN`. Networks that were tuned alike from the same
weights lie in one valley, and the mean of their weights is about as good as the mean of their answers, at the cost of one
network (model soups, Wortsman et al. 2022, 2203.05482). Two folds' models have together seen every image, so that the mean
stands where no time is left to train on all of them (docs/advice.md).
Does NOT cover: when it ships (`selection.final_models`), ensembles of answers (`selection.ensemble`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from advisor.aliases import Float32s, Rows
from advisor.errors import AdviseError
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.metrics import classification
from advisor.models import model_files, predictor
from advisor.models.classifier import Classifier
from advisor.records import TrainPlan
from advisor.records.messages import RunTrial
from advisor.runtime.atomic_file import to_json, write_atomically
from advisor.runtime.run_dir import MIXED, trial_name

WRITTEN = "refitted.json"  # how the model beside it was trained; written last


def mixable(plan: TrainPlan) -> bool:
    """Return True if the weights of several trainings of this plan may be averaged.

    They must begin with the same pretrained weights, keep the batch statistics that belong to them, and leave no number
    to each fold's own validation (WiSE's alpha).
    """
    return bool(plan.phases) and not plan.from_scratch and plan.norm == "frozen" and plan.finish is None


def mean(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Average tensors of the same names and shapes, in double precision; whole numbers are the first one's."""
    return {
        name: torch.stack([s[name].double() for s in states]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


def leave(
    resources: Resources,
    job: RunTrial,
    plan: TrainPlan,
    classifier: Classifier,
    position: int,
    *,
    rows: Rows,
    logits: Float32s,
    val: Rows,
) -> None:
    """Leave a fold's model in the trial's folder: the first one whole and usable, the others as members of the mean.

    Of folds on which a leader is scored again nothing is kept. `logits` are those of the rows `val`.
    """
    if job.repeat or not resources.group.is_first:
        return
    folder = _folder(resources, job)
    if position == 0:
        _write(
            resources,
            job,
            plan,
            classifier,
            folder,
            rows,
            classification.fit_temperature(logits, resources.labels[val]),
        )
    elif mixable(plan):
        member = folder / _member(position)
        with _costs_the_mean_alone():
            member.parent.mkdir(parents=True, exist_ok=True)
            model_files.write_tensors(member, predictor.state_tensors(classifier))


def has_left(resources: Resources, job: RunTrial, position: int) -> bool:
    """Return True if a fold that ended left what it should: without the first one's model a trial has none to ship."""
    return position > 0 or bool(job.repeat) or (_folder(resources, job) / WRITTEN).is_file()


def discard(resources: Resources, job: RunTrial) -> None:
    """Delete the models that the folds of a trial left, where it is trained again in another way."""
    shutil.rmtree(_folder(resources, job), ignore_errors=True)


def mix(resources: Resources, job: RunTrial, plan: TrainPlan, temperature: float, folds: tuple[int, ...]) -> None:
    """Leave the mean of what these folds of the job left; where one is lost or the disk is full, the first one's stays."""
    folder = _folder(resources, job)
    members = [folder / _member(position) for position in range(len(folds))]
    if job.repeat or not resources.group.is_first or not mixable(plan) or not all(m.is_file() for m in members):
        return
    rows = resources.folds()[folds[0]][0]
    classifier = trainer.classifier_for(resources, job.candidate, plan, rows, job.seed)
    with _costs_the_mean_alone():
        classifier.load_state_dict(mean([model_files.read_tensors(member) for member in members]))
        _write(resources, job, plan, classifier, folder / MIXED, rows, temperature, folds)
    shutil.rmtree(members[1].parent, ignore_errors=True)


def _write(
    resources: Resources,
    job: RunTrial,
    plan: TrainPlan,
    classifier: Classifier,
    folder: Path,
    rows: Rows,
    temperature: float,
    folds: tuple[int, ...] = (),
) -> None:
    written = trainer.write_model(
        resources,
        job.candidate,
        plan,
        classifier,
        folder,
        rows=len(rows),
        temperature=temperature,
        status="provisional",
        seconds=0.0,
    )
    write_atomically(folder / WRITTEN, to_json(replace(written, folds=folds)))


@contextmanager
def _costs_the_mean_alone() -> Iterator[None]:
    """Return up the mean, never the trial, where a disk is full or a member was damaged."""
    try:
        yield
    except (AdviseError, OSError) as error:
        print(f"not kept: {error}", file=sys.stderr)


def _folder(resources: Resources, job: RunTrial) -> Path:
    return Path(resources.job.run_dir) / "trials" / trial_name(job.number, job.repeat)


def _member(position: int) -> str:
    return f"members/{position}.safetensors" if position else "model.safetensors"
