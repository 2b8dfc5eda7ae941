"""Rerun of an adaptation's recipe: train one arm with one seed, and score it on the labelled part of the target.

In: a recipe with a `target`. Out: a `Rerun` as of any recipe (`rerun`); if the target has no labels, the held-out source is
compared. Does NOT cover: choosing among arms (`adaptation`).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from advisor import registry
from advisor.aliases import NamedProgress
from advisor.errors import RecipeError
from advisor.records import Settings, recipe_file
from advisor.records.data import ReadOptions
from advisor.records.recipe import Recipe
from advisor.runtime import environment
from advisor.runtime.atomic_file import write_atomically
from advisor.workflows import adaptation, adaptation_arm, adaptation_run, rerun_output, rerun_verify
from advisor.workflows import rerun as replay
from advisor.workflows.finished import recorded_data
from advisor.workflows.rerun_verify import Rerun, RerunScore
from advisor.workflows.session import Session, open_session, report_nothing


def rerun_adapted(
    recipe: Recipe,
    path: Path,
    *,
    data: Path | None = None,
    target: Path | None = None,
    seeds: int = 1,
    out: Path | None = None,
    weights_dir: str | None = None,
    offline: bool = False,
    device: str | None = None,
    block: Sequence[str] = (),
    reading: ReadOptions | None = None,
    verify: bool = False,
    report: NamedProgress = report_nothing,
) -> Rerun:
    """Train an adaptation again, `seeds` times with consecutive seeds from the recipe's; `path` is the recipe's location.

    `data` and `target` are their current locations, and may name other data on purpose; `reading` replaces how the recipe
    read its data. Raises RecipeError if a plugin, the data or the weights differ from the recipe's, OutputError if `out`
    holds something already, CheckError before any training where nothing can be compared and the caller will `verify`.
    """
    assert recipe.target is not None
    plugins = registry.load(block=block).at_revisions(replay.revisions_of(recipe))
    candidate = replay.candidate_of(recipe, plugins)
    weights_dir = replay.find_weights(recipe, plugins, weights_dir, offline)
    root = data or recorded_data.by_hint(recipe.data.path_hint, path, "data.path_hint", "--data")
    target_root = target or recorded_data.by_hint(recipe.target.path_hint, path, "target.path_hint", "--target")
    settings = replay.settings_of(recipe, str(root), device=device, weights_dir=weights_dir, offline=offline)
    settings = replace(settings, backbones=(recipe.backbone.name,), size_px=recipe.input.size_px)
    settings = replace(settings, plugins_blocked=tuple(block), reading=reading or settings.reading)
    settings = replace(settings, command=f"tl-advise rerun {shlex.quote(str(path))}")
    runs = []
    with ExitStack() as stack:
        folder = rerun_output.begin(out, root, stack)
        session = open_session(
            settings,
            target=str(target_root),
            folds=recipe.validation.folds,
            join=recorded_data.join_as_recorded(recipe),
            report=report,
        )
        same_data = _check(recipe, session, data=data, target=target)
        if verify:
            rerun_verify.check_comparable(recipe, same_data)
        for seed in range(recipe.target.seed, recipe.target.seed + seeds):
            arms = adaptation_arm.train(session, candidate, seed, report=report)
            arm = next(a for a in arms if a.statistics == recipe.target.statistics)
            is_first = seed == recipe.target.seed
            if is_first and out is not None:
                _write_run(session, replace(settings, target=str(target_root)), arm, folder)
            runs.append(_score(session, arm, folder if is_first else folder / "trials" / f"seed-{seed}"))
    machine = environment.describe(session.resources.compute(session.backbone))
    return rerun_verify.compared(path, session.dataset, recipe, tuple(runs), same_data, machine)


def _write_run(session: Session, settings: Settings, arm: adaptation_arm.AdaptationArm, folder: Path) -> None:
    """Write the files of an adapted run: model and recipe of this arm, call, splits, card and numbers."""
    adaptation_run.write_call(folder, settings)
    made = adaptation_arm.make_recipe(session, settings, arm, folder)
    write_atomically(folder / recipe_file.FILE, recipe_file.write(made, command=settings.command))
    summary = adaptation.scored(session, arm)
    adaptation_run.write_pages(folder, session, adaptation.summarise(session, {summary: arm}, summary))


def _score(session: Session, arm: adaptation_arm.AdaptationArm, folder: Path) -> RerunScore:
    refitted, temperature = adaptation_arm.write_arm(session, arm, folder)
    held_out = adaptation_arm.held_out_score(session, arm)
    test = adaptation_arm.target_score(session, arm, temperature=temperature)
    accuracy, n = (test.accuracy, test.n) if test else (held_out.accuracy, held_out.n)
    return RerunScore(seed=arm.seed, accuracy=accuracy, n=n, weights_sha256=refitted.weights_sha256, test=test)


def _check(recipe: Recipe, session: Session, *, data: Path | None, target: Path | None) -> bool:
    """Return True if source and target are the recipe's. Raises RecipeError if they are not and were not given."""
    assert recipe.target is not None
    assert session.target is not None
    pairs = (
        ("data", data, recipe.data.fingerprint, session.dataset.fingerprint, session.dataset.root),
        ("target", target, recipe.target.fingerprint, session.target.fingerprint, session.target.root),
    )
    for name, option, stated, actual, root in pairs:
        if stated != actual and option is None:
            raise RecipeError(
                f"{name}.fingerprint: {root} has changed since the recipe was made ({actual[:12]} instead of {stated[:12]}).",
                hint=f"To use the changed images, pass --{name} {root}.",
            )
    return all(stated == actual for _, _, stated, actual, _ in pairs)
