"""A comparison of arms: the same network trained in several ways for equal steps, measured at several points.

It shows the implicit regularisation of transfer learning: learning curves, the gap between training and held-out images,
how far each stage moves, the path of the weights, the sharpness of the solution, and how similar the features stay. In: a
session and arm names. Out: numbers. Does NOT cover: training and measuring one arm (`comparison_arm`), the search, the
held-out test set, drawing (`reporting.pages.comparison_page`).
Source: Neyshabur et al. 2020 (2008.11687), What is being transferred in transfer learning?
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from advisor.aliases import NamedProgress, Rows
from advisor.errors import InputError
from advisor.records import Candidate, TrainPlan
from advisor.records.data import JoinedImages
from advisor.workflows import comparison_arm
from advisor.workflows.comparison_arm import ComparisonArm
from advisor.workflows.session import Session, make_candidate, report_nothing

ALIASES = {"pretrained": "full"}  # name of an arm on the command line -> strategy


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All arms, trained and evaluated on the same `train_images` and `held_out` images of the pool."""

    backbone: str
    size_px: int
    seed: int
    epochs: float
    classes: int
    train_images: int
    held_out: int
    arms: tuple[ComparisonArm, ...]
    joined: JoinedImages | None = None  # similar images that are held out together, or not at all

    def __repr__(self) -> str:
        arms = ", ".join(f"{arm.name} {arm.accuracy:.1%}" for arm in self.arms)
        return f"Comparison({self.backbone} at {self.size_px} px, {self.held_out} held-out images: {arms})"


def compare(
    session: Session,
    names: Sequence[str],
    *,
    epochs: float,
    batch: int = 32,
    seed: int = 0,
    surface: int = 0,
    deadline: float | None = None,
    report: NamedProgress = report_nothing,
) -> Comparison:
    """Train the arms one after another at equal steps. Arms are "pretrained", "scratch" or names of strategies.

    `surface` is the number of grid points per side of the loss surface around each path; 0 for none. `deadline` is a
    time.monotonic(): the arms share the time until then evenly, and an arm that exceeds its share stops early.
    Raises InputError if an arm is unknown, named twice, or trains nothing, or the surface has one point.
    """
    check(names, surface)
    rows, held_out = session.resources.folds()[0]
    every = [(name, *planned(session, name, rows, epochs, batch)) for name in names]
    arms = []
    for i, (name, c, plan) in enumerate(every):
        now = time.monotonic()
        end = None if deadline is None else now + (deadline - now) / (len(every) - i)
        arms.append(comparison_arm.train(session, name, c, plan, seed, surface, end, report))
    return Comparison(
        backbone=session.backbone.name,
        size_px=session.size_px,
        seed=seed,
        epochs=epochs,
        classes=session.resources.classes,
        train_images=len(rows),
        held_out=len(held_out),
        arms=tuple(arms),
        joined=session.dataset.joined,
    )


def check(names: Sequence[str], surface: int) -> None:
    """Raise InputError for what is wrong with a comparison before any data are read: its arms, or a surface of one point."""
    if len(set(names)) < len(names) or not names:
        raise InputError("--arms: name each arm once, for example pretrained,scratch.")
    if surface < 0 or surface == 1:
        raise InputError(
            f"--surface {surface}: a surface has at least 2 points per side.", hint="Give 2 to 51, or 0 for none."
        )


def planned(session: Session, name: str, rows: Rows, epochs: float, batch: int) -> tuple[Candidate, TrainPlan]:
    """Return an arm's candidate and plan. Raises InputError if it trains nothing."""
    strategy = ALIASES.get(name, name)
    card = session.resources.registry.strategy(strategy).card
    declared = {p.name: p for p in getattr(card, "parameters", ())}
    usual = {n: v for n, v in {"epochs": epochs, "batch": batch}.items() if n in declared}
    # Where a card lists choices without it, as "small" or "large", an arm keeps its own.
    shared = {n: v for n, v in usual.items() if declared[n].kind != "choice" or v in declared[n].choices}
    candidate = make_candidate(session, strategy, shared)
    plan = session.resources.plan(candidate, rows)
    if not plan.phases:
        raise InputError(
            f"--arms {name}: this strategy fits a closed-form head and has no learning curve.",
            hint="Name strategies that train the network.",
        )
    return candidate, plan


def plain(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain values ready for JSON: nan becomes None."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict | list | tuple):
            return {k: clean(v) for k, v in value.items()} if isinstance(value, dict) else [clean(v) for v in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return {"schema": 1, **clean(asdict(comparison))}
