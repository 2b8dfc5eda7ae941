"""Few-shot evaluation: strategies -> accuracy over seeded episodes, with 95 % confidence intervals.

A strategy on frozen features fits its head in every episode. One that trains the network trains it once, on base
classes; its features are then read by cosine prototypes, and all strategies are tested on the other classes alone. All
see the same episodes, so that they can be compared in pairs. The locked test takes no part.
Does NOT cover: other images and classes; the interval is over episodes drawn from these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from advisor.aliases import NamedProgress, Rows
from advisor.data import pixels, splits
from advisor.errors import InputError
from advisor.execution import trainer
from advisor.execution.resources import Resources
from advisor.heads import fitting
from advisor.hooks import Context, Strategy
from advisor.metrics import intervals
from advisor.models import features
from advisor.records import Candidate, Head
from advisor.records.data import JoinedImages
from advisor.runtime import rng
from advisor.training import episodes
from advisor.workflows.session import Session, report_nothing

CHUNK_BYTES = 1 << 27  # features of the episodes that are computed together
READER = Head(kind="cosine_prototypes")  # of the features of a network that was trained on base classes


@dataclass(frozen=True, kw_only=True)
class StrategyScore:
    """The score of a strategy: mean accuracy over episodes with its 95 % interval, and the difference to the best.

    `behind` is the best strategy's mean minus this one's over the same episodes, `behind_ci95` its interval; the best
    has 0 and (0, 0).
    """

    strategy: str
    candidate: Candidate
    accuracy: float
    ci95: tuple[float, float]
    std: float
    behind: float
    behind_ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class FewShotResult:
    """An evaluation: episodes were drawn from `classes`; `left_out` had too few images; `scores` are best first.

    `base_classes` are those that networks were trained on, none where no strategy trains one; `joined` are similar images, of
    which no episode has any both labelled and as a query.
    """

    backbone: str
    size_px: int
    ways: int
    shots: int
    queries: int
    episodes: int
    seed: int
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    scores: tuple[StrategyScore, ...]
    base_classes: tuple[str, ...] = ()
    joined: JoinedImages | None = None

    def __repr__(self) -> str:
        best = f"{self.scores[0].strategy} {self.scores[0].accuracy:.1%}" if self.scores else "no strategy"
        return (
            f"FewShotResult({self.ways} ways, {self.shots} shots, {self.episodes} episodes on {self.backbone}: {best})"
        )


def capable(strategies: Mapping[str, Strategy], context: Context) -> list[str]:
    """List the strategies whose first guess only fits a head on frozen features."""
    names = []
    for name, strategy in sorted(strategies.items()):
        if strategy.applies(context) is None and not getattr(strategy.card, "only_when_named", False):
            plan = strategy.plan(strategy.first_guesses(context)[0], context)
            if not plan.phases and plan.head.kind != "linear":
                names.append(name)
    return names


def shared_parameters(strategy: Strategy, layers: str, epochs: float | None = None) -> dict[str, Any]:
    """Return the parameters that make strategies comparable, as far as the card declares them: same features, no mirroring.

    `epochs`, if given, apply to strategies that train.
    """
    declared = {p.name for p in getattr(strategy.card, "parameters", ())}
    values = {"layers": layers, "mirror": False, "epochs": epochs}
    return {name: value for name, value in values.items() if name in declared and value is not None}


def evaluate(
    session: Session,
    tried: Sequence[Candidate],
    *,
    ways: int,
    shots: int,
    queries: int,
    count: int,
    seed: int,
    layers: str = "all",
    report: NamedProgress = report_nothing,
) -> FewShotResult:
    """Score candidates on the same `count` episodes of the pool; `layers` are read of a network that was trained.

    Raises InputError where the data cannot give such episodes, or too few classes are left to test on.
    """
    if ways < 2 or shots < 1 or queries < 1 or count < 2:
        raise InputError("episodes need at least 2 ways, 1 shot, 1 query, and there must be at least 2 of them.")
    resources, names = session.resources, session.resources.job.classes
    groups = splits.groups_of(resources.job.items)
    usable = episodes.eligible(resources.labels, shots + queries, groups)
    parts = ClassSplit(base=(), novel=tuple(int(c) for c in usable))
    if any(_trains(session, candidate) for candidate in tried):
        parts = split(names, usable, ways=ways, seed=seed)
    rows = np.flatnonzero(np.isin(resources.labels, parts.novel)) if parts.base else np.arange(len(resources.labels))
    counts = {"ways": ways, "shots": shots, "queries": queries, "count": count}
    drawn = episodes.draw(resources.labels[rows], resources.ids[rows], groups=groups[rows], seed=seed, **counts)
    accuracies = []
    for candidate in tried:
        head, values, blocks = _head_and_features(session, candidate, parts.base, layers, seed, report)
        accuracies.append(score(head, values[rows], drawn, blocks))
    best = max(accuracies, key=lambda accuracy_E: float(accuracy_E.mean()))
    scores = [_score(candidate, accuracy_E, best) for candidate, accuracy_E in zip(tried, accuracies, strict=True)]
    return FewShotResult(
        backbone=session.backbone.name,
        size_px=session.size_px,
        ways=ways,
        shots=shots,
        queries=queries,
        episodes=count,
        seed=seed,
        classes=tuple(names[c] for c in parts.novel),
        left_out=tuple(n for i, n in enumerate(names) if i not in set(usable.tolist())),
        scores=tuple(sorted(scores, key=lambda s: -s.accuracy)),
        base_classes=tuple(names[c] for c in parts.base),
        joined=session.dataset.joined,
    )


def _trains(session: Session, candidate: Candidate) -> bool:
    return bool(session.resources.plan(candidate, np.arange(len(session.resources.labels))).phases)


def _head_and_features(
    session: Session, candidate: Candidate, base: Sequence[int], layers: str, seed: int, report: NamedProgress
) -> tuple[Head, npt.NDArray[np.float32], tuple[int, ...]]:
    """Return the head that an episode fits, the features (N, D) of all images that it reads, and their blocks."""
    if _trains(session, candidate):
        pooled = base_trained_features(session, candidate, base, seed=seed, report=report)
        names = [stage.name for stage in session.backbone.stages]
        return READER, features.select(pooled, layers, names), features.blocks(pooled, layers)
    plan = session.resources.plan(candidate, np.arange(len(session.resources.labels)))
    return (plan.head, *trainer.head_features(session.resources, session.backbone, candidate, plan))


def score(
    head: Head, values: npt.NDArray[np.float32], drawn: episodes.Episodes, blocks: Sequence[int] = ()
) -> npt.NDArray[np.float64]:
    """Return the accuracy of a head in every episode, (E,), from the features (N, D) of all images."""
    count, ways, shots = drawn.support.shape
    queries = drawn.queries.shape[2]
    truth = torch.arange(ways).repeat_interleave(queries)
    at_once = max(1, CHUNK_BYTES // (4 * ways * (shots + queries) * values.shape[1]))
    parts = []
    for start in range(0, count, at_once):
        support, query = (
            torch.from_numpy(values[rows[start : start + at_once]]).flatten(1, 2)
            for rows in (drawn.support, drawn.queries)
        )
        predicted = fitting.episode_logits(head, support, query, ways, blocks).argmax(2)
        parts.append((predicted == truth).double().mean(1))
    return np.asarray(torch.cat(parts).numpy())


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a mean over independent episodes: Student's, since there may be as few as two."""
    half = intervals.student_quantile(0.95, len(values) - 1) * float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()) - half, float(values.mean()) + half


def _score(candidate: Candidate, accuracy_E: npt.NDArray[np.float64], best: npt.NDArray[np.float64]) -> StrategyScore:
    low, high = interval(accuracy_E)
    return StrategyScore(
        strategy=candidate.strategy,
        candidate=candidate,
        accuracy=float(accuracy_E.mean()),
        ci95=(max(0.0, low), min(1.0, high)),
        std=float(accuracy_E.std(ddof=1)),
        behind=float((best - accuracy_E).mean()),
        behind_ci95=interval(best - accuracy_E),
    )


BASE_SHARE = 0.6  # of the classes that have enough images
LEAST_BASE = 2


@dataclass(frozen=True)
class ClassSplit:
    """Class numbers: `base` are trained on, `novel` are tested on; none is in both."""

    base: tuple[int, ...]
    novel: tuple[int, ...]


def split(names: Sequence[str], usable: Rows, *, ways: int, seed: int) -> ClassSplit:
    """Draw about 60 % of the usable classes as base classes, by the seed; at least `ways` stay novel.

    Raises InputError where there are too few classes for both.
    """
    if len(usable) < ways + LEAST_BASE:
        raise InputError(
            f"training on base classes and testing on {ways} others needs {ways + LEAST_BASE} classes with enough images; "
            f"there are {len(usable)}.",
            hint="Use fewer --ways, or strategies on frozen features.",
        )
    ids = [int(hashlib.sha256(names[c].encode("utf-8", "surrogateescape")).hexdigest()[:15], 16) for c in usable]
    drawn = usable[rng.order(seed, "base classes", 0, np.array(ids, dtype=np.uint64))]
    count = min(round(BASE_SHARE * len(usable)), len(usable) - ways)
    return ClassSplit(
        base=tuple(sorted(int(c) for c in drawn[:count])), novel=tuple(sorted(int(c) for c in drawn[count:]))
    )


def base_trained_features(
    session: Session, candidate: Candidate, base: Sequence[int], *, seed: int, report: NamedProgress = report_nothing
) -> features.Pooled:
    """Train a candidate on the images of the base classes and return the pooled features of all images.

    Raises InputError where its parameters do not fit the base classes, TrialError where training fails.
    """
    resources = _only_classes(session.resources, base)
    rows = np.arange(len(resources.labels))
    plan = resources.plan(candidate, rows)
    network = trainer.classifier_for(resources, candidate, plan, rows, seed)
    loop = trainer.train_loop(resources, candidate, plan, network, rows, seed)
    for step in loop.run():
        report(f"{candidate.strategy} on {len(base)} base classes", step.step, step.steps)
    trained = loop.finish()
    rule = session.resources.rule(session.backbone, session.size_px, plan.fit)
    return features.extract(
        session.backbone,
        trained.body,
        pixels.centre(session.resources.canvas(rule), session.size_px),
        session.resources.forward_spec(session.backbone, session.size_px),
        weights_key="",
        item_key="",
    )


def _only_classes(resources: Resources, base: Sequence[int]) -> Resources:
    """Return resources with the images of these classes only, so that no other label reaches training."""
    number = {c: i for i, c in enumerate(base)}
    items = tuple(replace(i, label=number[i.label]) for i in resources.job.items if i.label in number)
    classes = tuple(resources.job.classes[c] for c in base)
    return Resources(replace(resources.job, classes=classes, items=items), resources.registry, resources.report)
