"""Few-shot evaluation: strategies on cached frozen features -> accuracy over seeded episodes, with 95 % intervals.

All strategies see the same episodes, so that they can be compared in pairs. The locked test takes no part.
Does NOT cover: training on episodes; the interval is over episodes drawn from these images, not over new classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from advisor import episode_heads, episodes, fitting
from advisor.errors import InputError
from advisor.hooks import Context, Strategy
from advisor.records import Candidate, Head
from advisor.workbench import Bench

CHUNK_BYTES = 1 << 27  # features of the episodes that are computed together


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """What a strategy reached: mean accuracy over episodes with its 95 % interval, and how far it is behind the best.

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
class Answer:
    """The evaluation: `classes` took part, `left_out` had too few images; `scores` best first."""

    backbone: str
    size_px: int
    ways: int
    shots: int
    queries: int
    episodes: int
    seed: int
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    scores: tuple[FewShot, ...]


def capable(strategies: Mapping[str, Strategy], context: Context) -> list[str]:
    """Name the strategies whose first guess fits a head on frozen features and nothing else."""
    found = []
    for name, strategy in sorted(strategies.items()):
        if strategy.applies(context) is None and not getattr(strategy.card, "only_when_named", False):
            plan = strategy.plan(strategy.first_guesses(context)[0], context)
            if not plan.phases and plan.head.kind != "linear":
                found.append(name)
    return found


def shared(strategy: Strategy, layers: str) -> dict[str, Any]:
    """Give the parameters that make strategies comparable, as far as its card knows them: the same features, no mirrors."""
    known = {p.name for p in getattr(strategy.card, "parameters", ())}
    return {name: value for name, value in {"layers": layers, "mirror": False}.items() if name in known}


def evaluate(
    bench: Bench, tried: Sequence[Candidate], *, ways: int, shots: int, queries: int, count: int, seed: int
) -> Answer:
    """Score candidates on the same `count` episodes of the pool.

    Raises InputError where a candidate trains the network, or the data cannot give such episodes.
    """
    if ways < 2 or shots < 1 or queries < 1 or count < 2:
        raise InputError("episodes need at least 2 ways, 1 shot, 1 query, and there must be at least 2 of them.")
    material = bench.material
    drawn = episodes.draw(
        material.labels, material.ids, ways=ways, shots=shots, queries=queries, count=count, seed=seed
    )
    reached = {i: _accuracies(bench, candidate, drawn) for i, candidate in enumerate(tried)}
    best = max(reached, key=lambda i: float(reached[i].mean()))
    scores = [_score(candidate, reached[i], reached[best]) for i, candidate in enumerate(tried)]
    usable = set(episodes.eligible(material.labels, shots + queries).tolist())
    names = material.job.classes
    return Answer(
        backbone=bench.backbone.name,
        size_px=bench.size_px,
        ways=ways,
        shots=shots,
        queries=queries,
        episodes=count,
        seed=seed,
        classes=tuple(n for i, n in enumerate(names) if i in usable),
        left_out=tuple(n for i, n in enumerate(names) if i not in usable),
        scores=tuple(sorted(scores, key=lambda s: -s.accuracy)),
    )


def _accuracies(bench: Bench, candidate: Candidate, drawn: episodes.Episodes) -> npt.NDArray[np.float64]:
    material = bench.material
    plan = material.plan(candidate, np.arange(len(material.labels)))
    if plan.phases:
        raise InputError(
            f"strategy {candidate.strategy} trains the network, and an episode has a handful of images.",
            hint="Name strategies on frozen features, such as prototypes or ridge.",
        )
    values, blocks = fitting.head_features(material, bench.backbone, candidate, plan)
    return score(plan.head, values, drawn, blocks)


def score(
    head: Head, values: npt.NDArray[np.float32], drawn: episodes.Episodes, blocks: Sequence[int] = ()
) -> npt.NDArray[np.float64]:
    """Give the accuracy of a head in every episode, (E,), from the features (N, D) of all images."""
    count, ways, shots = drawn.support.shape
    queries = drawn.queries.shape[2]
    truth = torch.arange(ways).repeat_interleave(queries)
    at_once = max(1, CHUNK_BYTES // (4 * ways * (shots + queries) * values.shape[1]))
    parts = []
    for start in range(0, count, at_once):
        support, asked = (
            torch.from_numpy(values[rows[start : start + at_once]]).flatten(1, 2)
            for rows in (drawn.support, drawn.queries)
        )
        told = episode_heads.logits(head, support, asked, ways, blocks).argmax(2)
        parts.append((told == truth).double().mean(1))
    return np.asarray(torch.cat(parts).numpy())


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Give the 95 % interval of a mean of independent episodes: mean +- 1.96 standard errors."""
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()) - half, float(values.mean()) + half


def _score(candidate: Candidate, own: npt.NDArray[np.float64], best: npt.NDArray[np.float64]) -> FewShot:
    low, high = interval(own)
    return FewShot(
        strategy=candidate.strategy,
        candidate=candidate,
        accuracy=float(own.mean()),
        ci95=(max(0.0, low), min(1.0, high)),
        std=float(own.std(ddof=1)),
        behind=float((best - own).mean()),
        behind_ci95=interval(best - own),
    )
