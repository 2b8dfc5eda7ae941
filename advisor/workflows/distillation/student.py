"""The student of a distillation: which network and input size, and what it is trained with, with and without a teacher.

In: settings with limits, a data set, a worker. Out: a `Student`. Without limits and without a name it is the built-in
network; under limits the most accurate available one that keeps them (published accuracy).
Does NOT cover: the teacher (`teacher`), training (`distilled_run`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advisor.errors import InputError
from advisor.execution.worker import Worker
from advisor.hooks import Backbone, Context
from advisor.records import Candidate, Dataset, Profile, Settings, TrainPlan, recipe_file
from advisor.records.messages import Describe, Description
from advisor.registry import Registry
from advisor.runtime.progress import Listener
from advisor.runtime.run_dir import RunDir
from advisor.tuning import availability, candidates
from advisor.tuning.limits import fits_limits
from advisor.tuning.limits.graph_costs import CostTable

BUILT_IN, STRATEGY, PLAIN = "pocket", "distill", "full"


@dataclass(frozen=True, kw_only=True)
class Student:
    """Both candidates, which differ in the teacher alone, and the plan of the taught one on the whole pool."""

    taught: Candidate
    plain: Candidate
    plan: TrainPlan


def choose(
    settings: Settings,
    data_set: Dataset,
    profile: Profile,
    plugins: Registry,
    worker: Worker,
    rundir: RunDir,
    listener: Listener,
) -> tuple[Backbone, int, CostTable]:
    """Return the student's network and input size, and the table of costs. Raises InputError where nothing fits."""
    fits_limits.check(settings)
    limited = settings.max_ms is not None or settings.max_mb is not None
    if not settings.backbones and not limited:
        settings = replace(settings, backbones=(BUILT_IN,))
    reachable, _ = availability.find(plugins, settings, plugins.strategies)
    trainable = [b for b in reachable if not b.frozen_only]
    if not trainable:
        raise InputError(
            f"{reachable[0].name} cannot be a student: {reachable[0].frozen_only}.", hint="Name another --backbone."
        )
    sizes = {b.name: candidates.sizes(profile, b, settings.size_px) for b in trainable}
    images = len(data_set.pool)
    fits, table = fits_limits.fit(
        settings, rundir, worker, trainable, sizes, images=images, data=data_set, listener=listener
    )
    ranked = sorted(
        (b for b in trainable if fits[b.name]), key=lambda b: (-(b.published_accuracy or 0.0), b.macs or 0, b.name)
    )
    return ranked[0], max(fits[ranked[0].name]), table


def make(
    backbone: Backbone,
    size_px: int,
    fit: str,
    labels: Sequence[int],
    classes: int,
    worker: Worker,
    plugins: Registry,
    device: str,
    *,
    unlabelled: bool,
    overrides: Mapping[str, Any],
) -> Student:
    """Return what the student is trained with: the strategy's first guess with `overrides`, images made square as `fit` says.

    Raises InputError where it does not apply, or a parameter is not legal.
    """
    shape = worker.ask(Describe(backbone=backbone.name), Description)
    counts = tuple(sum(label == k for label in labels) for k in range(classes))
    context = Context(
        images=len(labels),
        classes=classes,
        class_counts=counts,
        stages=shape.stages,
        has_norm=shape.has_norm,
        dim=shape.dim,
        device=device,
        has_target=unlabelled,
        has_teacher=True,
        batch=int(overrides.get("batch", 32)),
        size_px=size_px,
    )
    strategy, plain = plugins.strategy(STRATEGY), plugins.strategy(PLAIN)
    reason = strategy.applies(context)
    if reason:
        raise InputError(f"{backbone.name} cannot be a student: {reason}.", hint="Name another --backbone.")
    parameters = {**strategy.first_guesses(context)[0], "fit": fit, **overrides}
    recipe_file.check_parameters(strategy, parameters, path=STRATEGY)
    shared = {p.name for p in getattr(plain.card, "parameters", ())}
    taught = Candidate(
        backbone=backbone.name, strategy=STRATEGY, parameters=parameters, origin="guess", size_px=size_px
    )
    own = {name: value for name, value in parameters.items() if name in shared}
    return Student(
        taught=taught,
        plain=replace(taught, strategy=PLAIN, parameters=own),
        plan=strategy.plan(parameters, context),
    )
