"""The recipe of an adaptation -> the same model again: one arm, one seed, and its score on the target's labelled part.

In: a recipe with a `target`. Out: what came out beside what the recipe says, as of any rerun (replay.py). Where the target
has no labels, the held-out source is compared. Does NOT cover: choosing among arms (adaptation.py).
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from advisor import registry
from advisor.errors import RecipeError
from advisor.records.recipe import Recipe
from advisor.runtime import environment
from advisor.workflows import adaptation_arm, rerun_verify
from advisor.workflows import rerun as replay
from advisor.workflows.rerun_verify import Rerun, RerunScore
from advisor.workflows.session import Report, Session, open_session, report_nothing


def rerun_adapted(
    told: Recipe,
    path: Path,
    *,
    data: Path | None = None,
    target: Path | None = None,
    seeds: int = 1,
    out: Path | None = None,
    weights_dir: str | None = None,
    offline: bool = False,
    device: str | None = None,
    report: Report = report_nothing,
) -> Rerun:
    """Train an adaptation again, `seeds` times with seeds counted up from the recipe's; `path` is where the recipe lies.

    `data` and `target` say where they lie now; other data, or another target, on purpose. Raises RecipeError where a
    plugin, the data or the weights are not the recipe's.
    """
    assert told.target is not None
    plugins = registry.load()
    chosen = replay.candidate_of(told, plugins)
    replay.check_weights(told, plugins, weights_dir, offline)
    place = data or replay.by_hint(told.data.path_hint, path, "data.path_hint", "--data")
    aim = target or replay.by_hint(told.target.path_hint, path, "target.path_hint", "--target")
    settings = replay.settings_of(told, str(place), device=device, weights_dir=weights_dir, offline=offline)
    settings = replace(settings, backbones=(told.backbone.name,), size_px=told.input.size_px)
    session = open_session(settings, target=str(aim), folds=told.validation.folds, report=report)
    same = _check(told, session, data=data, target=target)
    runs = []
    with ExitStack() as stack:
        keep = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tl-advise-rerun-")))
        for seed in range(told.target.seed, told.target.seed + seeds):
            arms = adaptation_arm.train(session, chosen, seed, report=report)
            arm = next(a for a in arms if a.statistics == told.target.statistics)
            folder = keep if seed == told.target.seed else keep / "trials" / f"seed-{seed}"
            runs.append(_once(session, arm, folder))
    here = environment.describe(session.resources.compute(session.backbone))
    return rerun_verify.compared(path, session.dataset, told, tuple(runs), same, here)


def _once(session: Session, arm: adaptation_arm.Arm, folder: Path) -> RerunScore:
    refitted, temperature = adaptation_arm.keep(session, arm, folder)
    held_out, test = (
        adaptation_arm.held_out_score(session, arm),
        adaptation_arm.target_score(session, arm, temperature=temperature),
    )
    accuracy, n = (test.accuracy, test.n) if test else (held_out.accuracy, held_out.n)
    return RerunScore(seed=arm.seed, accuracy=accuracy, n=n, weights_sha256=refitted.weights_sha256, test=test)


def _check(told: Recipe, session: Session, *, data: Path | None, target: Path | None) -> bool:
    """Whether source and target are the recipe's. Raises RecipeError where they are not and nobody said so."""
    assert told.target is not None
    assert session.target is not None
    pairs = (
        ("data", data, told.data.fingerprint, session.dataset.fingerprint, session.dataset.root),
        ("target", target, told.target.fingerprint, adaptation_arm.fingerprint(session.target), session.target.root),
    )
    for name, given, stated, here, place in pairs:
        if stated != here and given is None:
            raise RecipeError(
                f"{name}.fingerprint: {place} has changed since the recipe was made ({here[:12]} instead of {stated[:12]}).",
                hint=f"If that is meant, say so: --{name} {place}.",
            )
    return all(stated == here for _, _, stated, here, _ in pairs)
