"""Base classes to train on, novel classes to be tested on: the split of few-shot learning, and what training gives there.

In: a bench and a strategy that trains. Out: features of all images from a network that has seen base classes only. The
split is a function of the seed and of the class names. Does NOT cover: episodes (`episodes`), heads (`episode_heads`).
Source: the protocol of Vinyals et al. 2016 (1606.04080): training and test classes are disjoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.aliases import Rows
from advisor.data import pixels
from advisor.errors import InputError
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.models import features
from advisor.records import Candidate
from advisor.runtime import rng
from advisor.workflows.session import Bench, Report, silent

BASE_SHARE = 0.6  # of the classes that have enough images
LEAST_BASE = 2


@dataclass(frozen=True)
class ClassSplit:
    """Class numbers: `base` are trained on, `novel` are tested on; none is in both."""

    base: tuple[int, ...]
    novel: tuple[int, ...]


def split(names: Sequence[str], usable: Rows, *, ways: int, seed: int) -> ClassSplit:
    """Put about 60 % of the usable classes into the base, by a draw from the seed; at least `ways` stay novel.

    Raises InputError where there are too few classes for both.
    """
    if len(usable) < ways + LEAST_BASE:
        raise InputError(
            f"training on base classes and testing on {ways} others needs {ways + LEAST_BASE} classes with enough images; "
            f"there are {len(usable)}:",
            hint="take fewer --ways, or strategies on frozen features.",
        )
    ids = [int(hashlib.sha256(names[c].encode("utf-8", "surrogateescape")).hexdigest()[:15], 16) for c in usable]
    drawn = usable[rng.order(seed, "base classes", 0, np.array(ids, dtype=np.uint64))]
    count = min(round(BASE_SHARE * len(usable)), len(usable) - ways)
    return ClassSplit(
        base=tuple(sorted(int(c) for c in drawn[:count])), novel=tuple(sorted(int(c) for c in drawn[count:]))
    )


def tuned(
    bench: Bench, candidate: Candidate, base: Sequence[int], *, seed: int, report: Report = silent
) -> features.Pooled:
    """Train a candidate on the images of the base classes; give the pooled features of all images from the network.

    Raises InputError where its parameters do not fit the base classes, TrialError where training fails.
    """
    resources = _only(bench.resources, base)
    rows = np.arange(len(resources.labels))
    plan = resources.plan(candidate, rows)
    network = trainer.classifier_for(resources, candidate, plan, rows, seed)
    loop = trainer.train_loop(resources, candidate, plan, network, rows, seed)
    for step in loop.run():
        report(f"{candidate.strategy} on {len(base)} base classes", step.step, step.steps)
    trained = loop.finish()
    rule = bench.resources.rule(bench.backbone, bench.size_px, plan.fit)
    return features.extract(
        bench.backbone,
        trained.body,
        pixels.centre(bench.resources.canvas(rule), bench.size_px),
        preprocess=bench.backbone.preprocess,
        size_px=bench.size_px,
        compute=bench.resources.compute(bench.backbone),
        weights_key="",
        item_key="",
    )


def _only(resources: Resources, base: Sequence[int]) -> Resources:
    """Open the images of these classes alone, so that no label of another reaches training."""
    number = {c: i for i, c in enumerate(base)}
    items = tuple(replace(i, label=number[i.label]) for i in resources.job.items if i.label in number)
    classes = tuple(resources.job.classes[c] for c in base)
    return Resources(replace(resources.job, classes=classes, items=items), resources.registry, resources.report)
