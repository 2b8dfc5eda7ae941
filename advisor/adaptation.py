"""Labelled source, unlabelled target: train source-only and adapted arms, choose without a target label, score at the end.

The choice: among arms whose accuracy on held-out source images is within GUARD of the best, the one with the highest
mutual information between target images and predictions (entropy of the mean prediction minus mean entropy), averaged
over seeds. Predictions of one class for all have none, and so have uncertain ones. It is a proxy that can be wrong.
Adapted arms, and the source-only one as an arm of its own, are scored with BatchNorm statistics of the images' domain.
Target labels, where folders are named like classes, are read after the choice. Does NOT cover: searching, a recipe.
Sources: mutual information, Shi and Sha 2012 (1206.6438); target statistics, Li et al. 2016 (1603.04779).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from advisor import budget, evaluation, fitting, inference, intervals, metrics, pixels
from advisor.errors import InputError, TrialError
from advisor.model import Classifier
from advisor.records import Candidate, TrainPlan
from advisor.target import UNKNOWN
from advisor.workbench import Bench, Report, candidate, silent

GUARD = 0.05
ARMS = ("full", "mcc", "dann")
STATISTICS = " + target statistics"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One arm with one seed. `information` is the criterion, in nats; `target_accuracy` None where nothing is labelled."""

    arm: str
    seed: int
    source_accuracy: float
    information: float
    target_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """The answer: all runs, the arm and seed that were chosen, and the chosen run's score on the labelled target."""

    backbone: str
    size_px: int
    steps: int
    source_images: int
    target_images: int
    target_labelled: int
    runs: tuple[Run, ...]
    chosen: str
    chosen_seed: int
    target_accuracy: float | None
    target_ci95: tuple[float, float] | None


def information(logits_MK: npt.NDArray[np.floating]) -> float:
    """Give the mutual information of images and predictions, in nats: 0 where it says the same of all, at most log K."""
    p_MK = metrics.probabilities(logits_MK)
    mean_K = p_MK.mean(0)
    each = -(p_MK * np.log(np.maximum(p_MK, 1e-12))).sum(1).mean()
    return float(-(mean_K * np.log(np.maximum(mean_K, 1e-12))).sum() - each)


def choose(runs: Sequence[Run]) -> Run:
    """Choose an arm by its mean criterion among those that hold the source, then its seed by its own."""
    arms = list(dict.fromkeys(r.arm for r in runs))
    held = {a: float(np.mean([r.source_accuracy for r in runs if r.arm == a])) for a in arms}
    told = {a: float(np.mean([r.information for r in runs if r.arm == a])) for a in arms}
    allowed = [a for a in arms if held[a] >= max(held.values()) - GUARD]
    arm = max(allowed, key=lambda a: told[a])
    return max((r for r in runs if r.arm == arm), key=lambda r: r.information)


def adapt(
    bench: Bench,
    *,
    arms: Sequence[str] = ARMS,
    seeds: Sequence[int] = (0,),
    epochs: float = 5.0,
    deadline: float | None = None,
    to: Path | None = None,
    report: Report = silent,
) -> Adaptation:
    """Train every arm with every seed at equal steps, choose, score, and write the chosen model into the folder `to`.

    `deadline` is a time.monotonic(): a further seed is begun only where all arms would end before it. Raises InputError
    where no target is open or an arm cannot be trained, TrialError where the first seed's arms do not end in time.
    """
    if bench.target is None:
        raise InputError("adaptation needs a target domain:", hint="name it with --target DIR.")
    rows, held_out = bench.material.folds()[0]
    runs: list[Run] = []
    kept: dict[tuple[str, int], tuple[Candidate, TrainPlan, Classifier]] = {}
    outputs: dict[tuple[str, int], npt.NDArray[np.float32]] = {}
    longest = 0.0
    for seed in seeds:
        began = time.monotonic()
        if deadline is not None and runs and began + 1.1 * longest > deadline:
            break
        for arm in arms:
            chosen = candidate(bench, arm, same_terms(bench, arm, epochs))
            plan, trained = _train(bench, chosen, rows, seed, None if runs else deadline, report)
            if _adapts(plan):
                use_source_statistics(bench, plan, trained, rows)  # else those of two domains, which fit neither
            source = fitting.score_rows(bench.material, chosen, plan, trained, held_out)
            accuracy = evaluation.accuracy(source, bench.material.labels[held_out])
            for name, network in _variants(bench, arm, plan, trained):
                on_target = target_logits(bench, plan, network)
                runs.append(Run(arm=name, seed=seed, source_accuracy=accuracy, information=information(on_target)))
                outputs[name, seed] = on_target
                kept[name, seed] = (chosen, plan, network)
        longest = max(longest, time.monotonic() - began)
    best = choose(runs)
    if to is not None:
        _write(bench, *kept[best.arm, best.seed], to, rows, held_out)
    return _answer(bench, runs, best, outputs, kept[best.arm, best.seed][1].steps)


def epochs_within(bench: Bench, arms: int, seconds: float) -> float:
    """Say how many epochs all arms can have in so many seconds, from cards alone; an adapted arm costs two."""
    backbone = bench.backbone
    macs = budget.at_size(backbone.macs, backbone.preprocess.size, bench.size_px)
    device = bench.material.compute(backbone).device
    one = budget.training_s(len(bench.material.labels), 1.0, macs, device)
    scoring = arms * 3 * budget.extraction_s(len(bench.material.job.target_items), macs, device)
    return max(0.0, seconds - scoring) / (one * max(1, 2 * arms - 1))


def _adapts(plan: TrainPlan) -> bool:
    return any(stream.name == "target" for stream in plan.streams)


def _variants(bench: Bench, arm: str, plan: TrainPlan, trained: Classifier) -> list[tuple[str, Classifier]]:
    """Give what to score on the target: adapted arms with the target's statistics, source-only ones without and with."""
    adapts = _adapts(plan)
    if not any(isinstance(m, _BatchNorm) for m in trained.body.modules()):
        return [(arm, trained)]
    own = trained if adapts else copy.deepcopy(trained)
    use_target_statistics(bench, plan, own)
    return [(arm, own)] if adapts else [(arm, trained), (f"{arm}{STATISTICS}", own)]


def same_terms(bench: Bench, arm: str, epochs: float) -> dict[str, Any]:
    """Give the parameters that all arms share: length, and batch statistics of a domain's own while training."""
    card = bench.material.registry.strategy(arm).card
    known = {p.name for p in getattr(card, "parameters", ())}
    return {k: v for k, v in {"epochs": epochs, "norm": "trained"}.items() if k in known}


def target_logits(bench: Bench, plan: TrainPlan, trained: Classifier) -> npt.NDArray[np.float32]:
    """Give the logits of all target images."""
    canvas = bench.material.target_canvas(bench.material.rule(bench.backbone, bench.size_px, plan.fit))[0]
    return evaluation.logits(
        trained,
        pixels.centre(canvas, bench.size_px),
        np.arange(len(canvas)),
        preprocess=bench.backbone.preprocess,
        size_px=bench.size_px,
        compute=bench.material.compute(bench.backbone),
    )


def use_target_statistics(bench: Bench, plan: TrainPlan, trained: Classifier) -> None:
    """Replace BatchNorm's running statistics by those of the target's images (AdaBN), in place; no label is needed."""
    canvas = bench.material.target_canvas(bench.material.rule(bench.backbone, bench.size_px, plan.fit))[0]
    _use_statistics(bench, trained, canvas, np.arange(len(canvas)))


def use_source_statistics(bench: Bench, plan: TrainPlan, trained: Classifier, rows: npt.NDArray[np.int64]) -> None:
    """Replace BatchNorm's running statistics by those of these source images, in place."""
    canvas = bench.material.canvas(bench.material.rule(bench.backbone, bench.size_px, plan.fit))
    _use_statistics(bench, trained, canvas, rows)


def _use_statistics(
    bench: Bench, trained: Classifier, canvas: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]
) -> None:
    norms = [m for m in trained.body.modules() if isinstance(m, _BatchNorm)]
    momenta = [m.momentum for m in norms]
    trained.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over batches
        norm.train()
    order = rows[np.random.default_rng(0).permutation(len(rows))]
    compute = bench.material.compute(bench.backbone)
    with torch.no_grad(), inference.autocast(compute):
        for images_NCHW, _ in inference.batches(
            canvas, order, preprocess=bench.backbone.preprocess, size_px=bench.size_px, compute=compute
        ):
            trained.features(images_NCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    trained.eval()


def _train(
    bench: Bench,
    chosen: Candidate,
    rows: npt.NDArray[np.int64],
    seed: int,
    deadline: float | None,
    report: Report,
) -> tuple[TrainPlan, Classifier]:
    plan = bench.material.plan(chosen, rows)
    if not plan.phases:
        raise InputError(f"{chosen.strategy} trains nothing and cannot adapt.", hint=f"Take some of {', '.join(ARMS)}.")
    start = fitting.classifier_for(bench.material, chosen, plan, rows, seed)
    loop = fitting.train_loop(bench.material, chosen, plan, start, rows, seed)
    for step in loop.run():
        report(f"{chosen.strategy}, seed {seed}", step.step, step.steps)
        if deadline is not None and time.monotonic() > deadline:
            raise TrialError(
                "the time was over before one arm ended:", hint="give a larger --budget, or a smaller --size."
            )
    return plan, loop.finish()


def _write(
    bench: Bench,
    chosen: Candidate,
    plan: TrainPlan,
    trained: Classifier,
    to: Path,
    rows: npt.NDArray[np.int64],
    held_out: npt.NDArray[np.int64],
) -> None:
    logits = fitting.score_rows(bench.material, chosen, plan, trained, held_out)
    fitting.write_model(
        bench.material,
        chosen,
        plan,
        trained,
        to,
        rows=len(rows),
        temperature=evaluation.fit_temperature(logits, bench.material.labels[held_out]),
        status="final",
        seconds=0.0,
    )


def _answer(
    bench: Bench,
    runs: Sequence[Run],
    best: Run,
    outputs: Mapping[tuple[str, int], npt.NDArray[np.float32]],
    steps: int,
) -> Adaptation:
    """Open the hidden labels, after the choice."""
    from dataclasses import replace

    assert bench.target is not None
    labels = np.array(bench.target.hidden_labels)
    known = labels != UNKNOWN
    n = int(known.sum())

    def reached(run: Run) -> float | None:
        return evaluation.accuracy(outputs[run.arm, run.seed][known], labels[known]) if n else None

    right = int((outputs[best.arm, best.seed][known].argmax(1) == labels[known]).sum()) if n else 0
    return Adaptation(
        backbone=bench.backbone.name,
        size_px=bench.size_px,
        steps=steps,
        source_images=len(bench.material.labels),
        target_images=len(labels),
        target_labelled=n,
        runs=tuple(replace(r, target_accuracy=reached(r)) for r in runs),
        chosen=best.arm,
        chosen_seed=best.seed,
        target_accuracy=right / n if n else None,
        target_ci95=intervals.wilson(right, n) if n else None,
    )
