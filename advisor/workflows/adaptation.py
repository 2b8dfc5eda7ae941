"""Labelled source, unlabelled target: train source-only and adapted arms, choose without a target label, score at the end.

The choice: among arms whose accuracy on held-out source images is within GUARD of the best, the one with the highest
mutual information between target images and predictions (entropy of the mean prediction minus mean entropy), averaged
over seeds. Predictions of one class for all have none, and so have uncertain ones. It is a proxy that can be wrong.
Adapted arms, and the source-only one as an arm of its own, are scored with BatchNorm statistics of the images' domain.
Target labels, where folders are named like classes, are read after the choice. Does NOT cover: training one arm
(adapted.py), searching.
Sources: mutual information, Shi and Sha 2012 (1206.6438); target statistics, Li et al. 2016 (1603.04779).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.data.domains import UNKNOWN
from advisor.errors import InputError
from advisor.metrics import classification
from advisor.metrics import classification as metrics
from advisor.records import Settings, recipe_file
from advisor.runtime.atomic_file import write_atomically
from advisor.tuning import budget
from advisor.workflows import adaptation_arm
from advisor.workflows.adaptation_arm import Arm
from advisor.workflows.session import Report, Session, make_candidate, report_nothing

GUARD = 0.05
ARMS = ("full", "mcc", "dann")


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
    session: Session,
    *,
    arms: Sequence[str] = ARMS,
    seeds: Sequence[int] = (0,),
    epochs: float = 5.0,
    deadline: float | None = None,
    settings: Settings | None = None,
    to: Path | None = None,
    report: Report = report_nothing,
) -> Adaptation:
    """Train every arm with every seed at equal steps, choose, score, and leave model and recipe in the folder `to`.

    `deadline` is a time.monotonic(): a further seed is begun only where all arms would end before it. `settings` are the
    call's, for the recipe. Raises InputError where no target is open or an arm cannot be trained, TrialError where the
    first seed's arms do not end in time.
    """
    if session.target is None:
        raise InputError("adaptation needs a target domain:", hint="name it with --target DIR.")
    trained: dict[Run, Arm] = {}
    longest = 0.0
    for seed in seeds:
        began = time.monotonic()
        if deadline is not None and trained and began + 1.1 * longest > deadline:
            break
        last = None if trained else deadline
        for arm in arms:
            chosen = make_candidate(session, arm, same_terms(session, arm, epochs))
            for one in adaptation_arm.train(session, chosen, seed, deadline=last, report=report):
                accuracy = adaptation_arm.held_out_score(session, one).accuracy
                told = information(one.target_logits)
                trained[Run(arm=one.name, seed=seed, source_accuracy=accuracy, information=told)] = one
        longest = max(longest, time.monotonic() - began)
    best = choose(list(trained))
    if to is not None:
        asked = settings or Settings(data=session.dataset.root)
        written = recipe_file.write(
            adaptation_arm.make_recipe(session, asked, trained[best], to), command=asked.command
        )
        write_atomically(to / recipe_file.FILE, written)
    return _answer(session, trained, best)


def epochs_within(session: Session, arms: int, seconds: float) -> float:
    """Say how many epochs all arms can have in so many seconds, from cards alone; an adapted arm costs two."""
    backbone = session.backbone
    macs = budget.at_size(backbone.macs, backbone.preprocess.size, session.size_px)
    device = session.resources.compute(backbone).device
    one = budget.training_s(len(session.resources.labels), 1.0, macs, device)
    scoring = arms * 3 * budget.extraction_s(len(session.resources.job.target_items), macs, device)
    return max(0.0, seconds - scoring) / (one * max(1, 2 * arms - 1))


def same_terms(session: Session, arm: str, epochs: float) -> dict[str, Any]:
    """Give the parameters that all arms share: length, and batch statistics of a domain's own while training."""
    card = session.resources.registry.strategy(arm).card
    known = {p.name for p in getattr(card, "parameters", ())}
    return {k: v for k, v in {"epochs": epochs, "norm": "trained"}.items() if k in known}


def _answer(session: Session, trained: dict[Run, Arm], best: Run) -> Adaptation:
    """Open the hidden labels, after the choice."""
    assert session.target is not None
    labels = np.array(session.target.hidden_labels)
    known = labels != UNKNOWN

    def reached(arm: Arm) -> float | None:
        return classification.accuracy(arm.target_logits[known], labels[known]) if known.any() else None

    score = adaptation_arm.target_score(session, trained[best])
    return Adaptation(
        backbone=session.backbone.name,
        size_px=session.size_px,
        steps=trained[best].plan.steps,
        source_images=len(session.resources.labels),
        target_images=len(labels),
        target_labelled=int(known.sum()),
        runs=tuple(replace(run, target_accuracy=reached(arm)) for run, arm in trained.items()),
        chosen=best.arm,
        chosen_seed=best.seed,
        target_accuracy=score.accuracy if score else None,
        target_ci95=score.ci95 if score else None,
    )
