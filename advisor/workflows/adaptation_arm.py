"""One arm of an adaptation with one seed: its training, its logits on both domains, its model and its recipe.

In: a session with a source and a target, a candidate, a seed. Out: one arm, or two where a source-only network is also
evaluated with BatchNorm statistics of the target (AdaBN, Li et al. 2016, 1603.04779). The first fold of the source is held
out. Target labels are not used for training. Does NOT cover: choosing an arm (`adaptation`), rerunning a recipe
(`rerun_adaptation`).
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from advisor._version import __version__
from advisor.aliases import NamedProgress
from advisor.data import pixels, splits
from advisor.data.domains import UNLABELLED
from advisor.data.subsample import Subsample
from advisor.errors import InputError, TrialError
from advisor.execution import test_scoring, trainer
from advisor.metrics import classification
from advisor.models import inference
from advisor.models.classifier import Classifier
from advisor.records import Candidate, FoldScore, ForwardSpec, Regime, Settings, TestScore, TrainPlan, Trial, recipe
from advisor.records.messages import Refitted
from advisor.records.trials import regime_name
from advisor.runtime import environment
from advisor.selection import result_builder
from advisor.workflows.session import Session, report_nothing


def has_statistics(network: Classifier) -> bool:
    """Return True if the body has BatchNorm statistics to replace."""
    return any(isinstance(m, _BatchNorm) for m in network.body.modules())


def use_target(session: Session, plan: TrainPlan, network: Classifier) -> None:
    """Replace BatchNorm's running statistics by those of the target images, in place."""
    canvas = session.resources.target_canvas(session.resources.rule(session.backbone, session.size_px, plan.fit))[0]
    _use(session, network, canvas, np.arange(len(canvas)))


def use_source(session: Session, plan: TrainPlan, network: Classifier, rows: npt.NDArray[np.int64]) -> None:
    """Replace BatchNorm's running statistics by those of these source images, in place."""
    canvas = session.resources.canvas(session.resources.rule(session.backbone, session.size_px, plan.fit))
    _use(session, network, canvas, rows)


def _use(session: Session, network: Classifier, canvas: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> None:
    norms = [m for m in network.body.modules() if isinstance(m, _BatchNorm)]
    momenta = [m.momentum for m in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over batches, which are of nearly equal sizes
        norm.train()
    order = rows[np.random.default_rng(0).permutation(len(rows))]
    compute = session.resources.compute(session.backbone)
    with torch.no_grad(), inference.autocast(compute):
        for images_NCHW, _ in inference.batches(
            canvas,
            order,
            ForwardSpec(session.backbone.preprocess, session.size_px, compute),
            sizes=inference.equal_batches(
                len(order), compute.inference_batch
            ),  # copies of an image would count as images
        ):
            network.features(images_NCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


STATISTICS = " + target statistics"


@dataclass(frozen=True, kw_only=True)
class AdaptationArm:
    """A trained arm. `statistics`: True for a source-only network that uses the target's BatchNorm statistics."""

    name: str
    seed: int
    candidate: Candidate
    plan: TrainPlan
    network: Classifier
    statistics: bool
    source_logits: npt.NDArray[np.float32]  # of the held-out source; adapted arms use the source's statistics here
    target_logits: npt.NDArray[np.float32]
    seconds: float


def train(
    session: Session,
    chosen: Candidate,
    seed: int,
    *,
    deadline: float | None = None,
    report: NamedProgress = report_nothing,
) -> list[AdaptationArm]:
    """Train one candidate on the source without its first fold, and on the target images if its plan uses them.

    Raises InputError if it trains nothing, TrialError if `deadline`, a time.monotonic(), passes first.
    """
    rows, held_out = session.resources.folds()[0]
    began = time.monotonic()
    plan, network = _trained(session, chosen, rows, seed, deadline, report)
    adapts = any(stream.name == "target" for stream in plan.streams)
    if adapts:
        use_source(session, plan, network, rows)  # after training they are a mixture of both domains
    source = trainer.score_rows(session.resources, chosen, plan, network, held_out)
    arms = []
    for statistics in _variants(network, adapts=adapts):
        adapted = copy.deepcopy(network) if statistics else network
        if statistics or (adapts and has_statistics(network)):
            use_target(session, plan, adapted)
        arms.append(
            AdaptationArm(
                name=f"{chosen.strategy}{STATISTICS}" if statistics else chosen.strategy,
                seed=seed,
                candidate=chosen,
                plan=plan,
                network=adapted,
                statistics=statistics,
                source_logits=source,
                target_logits=_on_target(session, plan, adapted),
                seconds=time.monotonic() - began,
            )
        )
    return arms


def _variants(network: Classifier, *, adapts: bool) -> tuple[bool, ...]:
    return (False,) if adapts or not has_statistics(network) else (False, True)


def _trained(
    session: Session,
    chosen: Candidate,
    rows: npt.NDArray[np.int64],
    seed: int,
    deadline: float | None,
    report: NamedProgress,
) -> tuple[TrainPlan, Classifier]:
    plan = session.resources.plan(chosen, rows)
    if not plan.phases:
        raise InputError(f"{chosen.strategy} trains nothing and cannot adapt.", hint="Choose from full, mcc, dann.")
    start = trainer.classifier_for(session.resources, chosen, plan, rows, seed)
    loop = trainer.train_loop(session.resources, chosen, plan, start, rows, seed)
    for step in loop.run():
        report(f"{chosen.strategy}, seed {seed}", step.step, step.steps)
        if deadline is not None and time.monotonic() > deadline:
            raise TrialError(
                "the budget ran out before any arm finished.", hint="Give a larger --budget or a smaller --size."
            )
    return plan, loop.finish()


def _on_target(session: Session, plan: TrainPlan, network: Classifier) -> npt.NDArray[np.float32]:
    canvas = session.resources.target_canvas(session.resources.rule(session.backbone, session.size_px, plan.fit))[0]
    return inference.logits(
        network,
        pixels.centre(canvas, session.size_px),
        np.arange(len(canvas)),
        session.resources.forward_spec(session.backbone, session.size_px),
    )


def held_out_score(session: Session, arm: AdaptationArm) -> FoldScore:
    """Score an arm on the held-out source images."""
    labels = session.resources.labels[session.resources.folds()[0][1]]
    return FoldScore(
        fold=0,
        repeat=0,
        seed=arm.seed,
        n=len(labels),
        accuracy=classification.accuracy(arm.source_logits, labels),
        log_loss=classification.log_loss(arm.source_logits, labels),
    )


def target_score(session: Session, arm: AdaptationArm, *, temperature: float = 1.0) -> TestScore | None:
    """Score an arm on the labelled target images; None if no target folder is named like a class.

    `temperature` is that of the written model, for its log-loss.
    """
    assert session.target is not None
    labels = np.array(session.target.hidden_labels)
    is_labelled = labels != UNLABELLED
    if not is_labelled.any():
        return None
    groups = splits.groups_of(
        [item for item, labelled in zip(session.target.items, is_labelled, strict=True) if labelled]
    )
    logits = arm.target_logits[is_labelled] / np.float32(temperature)
    return test_scoring.test_score(logits, labels[is_labelled], session.dataset.classes, groups)


def write_arm(session: Session, arm: AdaptationArm, to: Path) -> tuple[Refitted, float]:
    """Write an arm's model into a folder; return its `Refitted` and the temperature fitted on the held-out source."""
    rows, held_out = session.resources.folds()[0]
    logits = trainer.score_rows(session.resources, arm.candidate, arm.plan, arm.network, held_out)
    temperature = classification.fit_temperature(logits, session.resources.labels[held_out])
    refitted = trainer.write_model(
        session.resources,
        arm.candidate,
        arm.plan,
        arm.network,
        to,
        rows=len(rows),
        temperature=temperature,
        status="final",
        seconds=arm.seconds,
    )
    return replace(refitted, folds=(0,)), temperature


def make_recipe(session: Session, settings: Settings, arm: AdaptationArm, to: Path) -> recipe.Recipe:
    """Write an arm's model into `to` and return the recipe for a rerun. `settings` are those of the call."""
    assert session.target is not None
    refitted, temperature = write_arm(session, arm, to)
    plugins = session.resources.registry
    regime = regime_name(plugins.strategy(arm.candidate.strategy).regime)
    run_context = result_builder.RunContext(
        settings=replace(settings, created_by=__version__, remove_leaks=False),
        dataset=session.dataset,
        used=Subsample(pool=session.dataset.pool, test=()),
        regime=Regime(name=regime, reason="adaptation to a target", prior=regime),
        registry=plugins,
        environment=environment.describe(refitted.compute),
        folds=session.resources.job.folds,  # as many as were drawn; few images make fewer of them
        warnings=session.warnings,
        left_out=(),
    )
    trial = Trial(
        number=0,
        candidate=arm.candidate,
        regime=regime,
        state="complete",
        scores=(held_out_score(session, arm),),
        temperature=temperature,
    )
    made = result_builder.make_recipe(
        run_context, "final", trial, refitted, target_score(session, arm, temperature=temperature)
    )
    target_use = recipe.TargetUse(
        path_hint=session.target.root,
        fingerprint=session.target.fingerprint,
        images=len(session.target.items),
        statistics=arm.statistics,
        seed=arm.seed,
    )
    return replace(made, target=target_use)
