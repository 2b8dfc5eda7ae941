"""The teacher of a distillation: the model of a finished run, and its answers on every view that the student will see.

In: a run directory; items with a training plan. Out: a `Predictor`, `SoftAnswers`. The student sees a crop of an image at its
own size, the teacher the same crop at its size: both are cut from squares of the same part of the image.
Does NOT cover: the student (`student`), training (`distilled_run`).
Source: Beyer et al. 2022 (2106.05237): the same view for both; here each of a fixed number of views is answered once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from advisor.aliases import Float32s
from advisor.data import pixels
from advisor.data.domains import Target
from advisor.errors import InputError
from advisor.models import inference, predictor
from advisor.models.predictor import Predictor
from advisor.records import Compute, Dataset, Item, TrainPlan
from advisor.records.messages import Progress
from advisor.registry import Registry
from advisor.runtime import cache
from advisor.runtime.progress import Listener
from advisor.training import augmentation, soft_answers
from advisor.training.soft_answers import SoftAnswers

FILE = "teacher.npz"


def load(run: Path, plugins: Registry, data_set: Dataset) -> Predictor:
    """Read the model of a run. Raises InputError where there is none, or it knows other classes than the data set."""
    teacher = predictor.load(run, plugins)
    if teacher.classes != data_set.classes:
        both = set(teacher.classes) ^ set(data_set.classes)
        what = f"differ in {', '.join(sorted(both)[:5])}" if both else "are the same in another order"
        raise InputError(
            f"{run}: the classes of its model and of {data_set.root} {what}.",
            hint="Distil from a run on these classes.",
        )
    return teacher


def answer(
    teacher: Predictor,
    data_set: Dataset,
    items: Sequence[Item],
    target: Target | None,
    plan: TrainPlan,
    *,
    view_seed: int,
    compute: Compute,
    listener: Listener,
) -> SoftAnswers:
    """Compute the teacher's calibrated answers on every view of the pool's items and of the target's."""
    ids, logits = [_ids(items)], [_logits(teacher, data_set.root, items, plan, view_seed, compute, listener)]
    if target is not None:
        ids.append(_ids(target.items))
        logits.append(_logits(teacher, target.root, target.items, plan, view_seed, compute, listener))
    return soft_answers.make(np.concatenate(ids), np.concatenate(logits, axis=1), view_seed)


def _ids(items: Sequence[Item]) -> soft_answers.Ids:
    return np.array([int(item.sha256[:15], 16) for item in items], dtype=np.uint64)


def _logits(
    teacher: Predictor,
    root: str,
    items: Sequence[Item],
    plan: TrainPlan,
    view_seed: int,
    compute: Compute,
    listener: Listener,
) -> Float32s:
    """Return the calibrated logits (V, N, K), in float32."""
    canvas, _ = pixels.canvas(root, items, teacher.rule, store=cache.Store())
    spec = replace(compute, precision="float32")
    device, ids = torch.device(spec.device), _ids(items)
    inference.move(teacher.classifier, spec)
    out_VNK = np.empty((plan.views, len(items), len(teacher.classes)), dtype=np.float32)
    total = plan.views * len(items)
    for view in range(plan.views):
        for start in range(0, len(items), spec.inference_batch):
            rows = slice(start, start + spec.inference_batch)
            images_NCHW = augmentation.train_view(
                torch.from_numpy(canvas[rows].copy()).to(device),
                ids[rows],
                view,
                view_seed,
                plan.augmentation,
                teacher.size_px,
                teacher.preprocess,
                spec.layout,
            )
            with torch.no_grad():
                out_VNK[view, rows] = teacher.classifier(images_NCHW).float().cpu().numpy()
            done = view * len(items) + min(len(items), rows.stop)
            listener.progress(Progress(what="answers of the teacher", done=done, total=total))
    return out_VNK / np.float32(teacher.temperature)
