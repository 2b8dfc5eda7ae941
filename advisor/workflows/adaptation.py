"""Domain adaptation: train source-only and adapted arms, choose one without target labels, then score it on the target.

In: a session with a labelled source and an unlabelled target. Out: an `Adaptation`, and the chosen model with its recipe.
Among the arms whose accuracy on held-out source images is within GUARD of the best, the one with the highest mutual
information between target images and predictions (entropy of the mean prediction minus mean entropy), averaged over
seeds, is chosen. The criterion is 0 for predictions that are all the same or all uncertain; it is a proxy and can be
wrong. Adapted arms, and the source-only network as an additional arm, are scored with BatchNorm statistics of the images'
domain. Target labels, where folders are named like classes, are read after the choice.
Does NOT cover: training one arm (`adaptation_arm`), searching.
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

from advisor.aliases import NamedProgress
from advisor.data.domains import UNLABELLED
from advisor.errors import InputError
from advisor.metrics import classification
from advisor.metrics import classification as metrics
from advisor.records import Settings, recipe_file
from advisor.records.data import JoinedImages
from advisor.runtime.atomic_file import write_atomically
from advisor.tuning import budget
from advisor.workflows import adaptation_arm
from advisor.workflows.adaptation_arm import AdaptationArm
from advisor.workflows.session import Session, make_candidate, report_nothing

GUARD = 0.05
ARMS = ("full", "mcc", "dann")


@dataclass(frozen=True, kw_only=True)
class AdaptedArm:
    """One arm with one seed. `information` is the criterion, in nats; `target_accuracy` is None without target labels."""

    arm: str
    seed: int
    source_accuracy: float
    information: float
    target_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """All runs, the chosen arm and seed, and the score of the chosen run on the labelled part of the target."""

    backbone: str
    size_px: int
    steps: int
    source_images: int
    target_images: int
    target_labelled: int
    runs: tuple[AdaptedArm, ...]
    chosen: str
    chosen_seed: int
    target_accuracy: float | None
    target_ci95: tuple[float, float] | None
    joined: JoinedImages | None = None  # similar source images that are held out together, or not at all

    def __repr__(self) -> str:
        score = "not labelled" if self.target_accuracy is None else f"{self.target_accuracy:.1%} of the labelled part"
        return f"Adaptation({self.chosen} on {self.backbone}, {self.target_images} target images: {score})"


def information(logits_MK: npt.NDArray[np.floating]) -> float:
    """Return the mutual information of images and predictions in nats: 0 for identical predictions, at most log K."""
    p_MK = metrics.probabilities(logits_MK)
    mean_K = p_MK.mean(0)
    each = -(p_MK * np.log(np.maximum(p_MK, 1e-12))).sum(1).mean()
    return float(-(mean_K * np.log(np.maximum(mean_K, 1e-12))).sum() - each)


def choose(runs: Sequence[AdaptedArm]) -> AdaptedArm:
    """Choose the arm by its mean criterion among arms that keep their source accuracy, then the seed by its criterion."""
    arms = list(dict.fromkeys(r.arm for r in runs))
    held_out_by_arm = {a: float(np.mean([r.source_accuracy for r in runs if r.arm == a])) for a in arms}
    information_by_arm = {a: float(np.mean([r.information for r in runs if r.arm == a])) for a in arms}
    allowed = [a for a in arms if held_out_by_arm[a] >= max(held_out_by_arm.values()) - GUARD]
    arm = max(allowed, key=lambda a: information_by_arm[a])
    return max((r for r in runs if r.arm == arm), key=lambda r: r.information)


def scored(session: Session, arm: AdaptationArm) -> AdaptedArm:
    """Return the scores of an arm that need no target label."""
    return AdaptedArm(
        arm=arm.name,
        seed=arm.seed,
        source_accuracy=adaptation_arm.held_out_score(session, arm).accuracy,
        information=information(arm.target_logits),
    )


def adapt(
    session: Session,
    *,
    arms: Sequence[str] = ARMS,
    seeds: Sequence[int] = (0,),
    epochs: float = 5.0,
    deadline: float | None = None,
    settings: Settings | None = None,
    to: Path | None = None,
    report: NamedProgress = report_nothing,
) -> Adaptation:
    """Train every arm with every seed for equal steps, choose and score; write model and recipe into the folder `to`.

    `deadline` is a time.monotonic(): a further seed starts only if all arms should end before it. `settings` are those of
    the call, for the recipe. Raises InputError if no target is open or an arm cannot be trained, TrialError if the arms
    of the first seed do not end in time.
    """
    if session.target is None:
        raise InputError("adaptation needs a target domain.", hint="Name its folder with --target DIR.")
    trained: dict[AdaptedArm, AdaptationArm] = {}
    longest = 0.0
    for seed in seeds:
        began = time.monotonic()
        if deadline is not None and trained and began + 1.1 * longest > deadline:
            break
        last = None if trained else deadline
        for arm in arms:
            chosen = make_candidate(session, arm, shared_parameters(session, arm, epochs))
            for trained_arm in adaptation_arm.train(session, chosen, seed, deadline=last, report=report):
                trained[scored(session, trained_arm)] = trained_arm
        longest = max(longest, time.monotonic() - began)
    best = choose(list(trained))
    if to is not None:
        call = settings or Settings(data=session.dataset.root)
        text = recipe_file.write(adaptation_arm.make_recipe(session, call, trained[best], to), command=call.command)
        write_atomically(to / recipe_file.FILE, text)
    return summarise(session, trained, best)


def epochs_within(session: Session, arms: int, seconds: float) -> float:
    """Predict how many epochs all arms can train in `seconds`, from the cards alone; an adapted arm costs twice as much."""
    scoring_s, epoch_s = _costs_s(session, arms)
    return max(0.0, seconds - scoring_s) / epoch_s


def needs_s(session: Session, arms: int, epochs: float) -> float:
    """Predict the seconds that all arms need for so many epochs, the inverse of `epochs_within`."""
    scoring_s, epoch_s = _costs_s(session, arms)
    return scoring_s + epochs * epoch_s


def _costs_s(session: Session, arms: int) -> tuple[float, float]:
    """Return the seconds that scoring all arms takes, and one epoch of all of them."""
    backbone = session.backbone
    macs = budget.at_size(backbone.macs, backbone.preprocess.size, session.size_px)
    device = session.resources.compute(backbone).device
    one = budget.TRAIN_FACTOR * budget.extraction_s(len(session.resources.labels), macs, device)
    scoring = arms * 3 * budget.extraction_s(len(session.resources.job.target_items), macs, device)
    return scoring, one * max(1, 2 * arms - 1)


def shared_parameters(session: Session, arm: str, epochs: float) -> dict[str, Any]:
    """Return the parameters that all arms share: the length, and BatchNorm in training mode."""
    card = session.resources.registry.strategy(arm).card
    declared = {p.name for p in getattr(card, "parameters", ())}
    return {k: v for k, v in {"epochs": epochs, "norm": "trained"}.items() if k in declared}


def summarise(session: Session, trained: dict[AdaptedArm, AdaptationArm], best: AdaptedArm) -> Adaptation:
    """Return all runs with their scores on the hidden target labels, which are read after the choice."""
    assert session.target is not None
    labels = np.array(session.target.hidden_labels)
    labelled = labels != UNLABELLED

    def reached(arm: AdaptationArm) -> float | None:
        return classification.accuracy(arm.target_logits[labelled], labels[labelled]) if labelled.any() else None

    score = adaptation_arm.target_score(session, trained[best])
    return Adaptation(
        backbone=session.backbone.name,
        size_px=session.size_px,
        steps=trained[best].plan.steps,
        source_images=len(session.resources.labels),
        target_images=len(labels),
        target_labelled=int(labelled.sum()),
        runs=tuple(replace(run, target_accuracy=reached(arm)) for run, arm in trained.items()),
        chosen=best.arm,
        chosen_seed=best.seed,
        target_accuracy=score.accuracy if score else None,
        target_ci95=score.ci95 if score else None,
        joined=session.dataset.joined_counts,
    )
